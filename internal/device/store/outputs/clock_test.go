package outputs

import (
	"testing"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// clocks are those of a machine: the system's and that of the process.
type clocks struct {
	system time.Time
	own    time.Duration
	spans  spans
}

func newClocks() *clocks {
	c := &clocks{system: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	c.look()
	return c
}

func (c *clocks) look() { c.spans = c.spans.look(c.system, c.own) }

func (c *clocks) set(by time.Duration) { c.system = c.system.Add(by) }

func (c *clocks) pass(d time.Duration) *clocks {
	c.system, c.own = c.system.Add(d), c.own+d
	return c
}

// hours pass with a look at the end of each, as a sweeper's.
func (c *clocks) hours(n int) {
	for range n {
		c.pass(time.Hour).look()
	}
}

func TestTheAgeOfAnOutputIsWhatItWouldBeHadTheClockNotBeenSet(t *testing.T) {
	for name, set := range map[string]time.Duration{
		"not set": 0, "a year forward": year, "a year back": -year, "hours forward": 3 * time.Hour, "hours back": -3 * time.Hour, "made right slowly": 20 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			c := newClocks()
			earlier := c.system.Add(-40 * day)
			c.hours(48)
			before := c.system // is written
			c.hours(2)
			c.pass(20 * time.Minute).set(set)
			after := c.pass(10 * time.Minute).system // is written
			c.pass(30 * time.Minute).look()
			c.hours(5)
			for _, tt := range []struct {
				what string
				date time.Time
				want time.Duration
			}{
				{"of an earlier process", earlier, 40*day + 56*time.Hour},
				{"before", before, 8 * time.Hour},
				{"after", after, 5*time.Hour + 30*time.Minute},
			} {
				w := c.spans.written(tt.date)
				off := w.ago() - tt.want
				// Where a date can be of two times, the output counts as the younger.
				ambiguous := set.Abs() < day && tt.what == "before"
				if !w.known || off > steady || off < -steady && !ambiguous {
					t.Errorf("%s: %v old, want %v", tt.what, w.ago(), tt.want)
				}
			}
			if c.spans.written(before).compare(c.spans.written(after)) >= 0 && set != -3*time.Hour {
				t.Error("the later output counts as the older")
			}
		})
	}
}

func TestAnOutputFromTheFutureIsOlderThanOthersAndNotKeptForever(t *testing.T) {
	c := newClocks() // starts with a clock that was set back
	c.hours(24)
	next, last, young := c.spans.written(c.system.Add(200*day)), c.spans.written(c.system.Add(year)), c.spans.written(c.system)
	if next.compare(last) >= 0 || last.compare(young) >= 0 || young.compare(next) <= 0 || next.compare(next) != 0 {
		t.Errorf("the order of %+v, %+v and %+v is another", next, last, young)
	}
	if last.ago() != day || young.ago() != 0 {
		t.Errorf("they are %v and %v old after a day", last.ago(), young.ago())
	}
}

func TestAClockThatIsSetAgainAndAgainTakesNoMoreMemory(t *testing.T) {
	c := newClocks()
	for i := range 1000 {
		c.set(year * time.Duration(1-i%2*2))
		c.hours(1)
	}
	if len(c.spans) > maxSpans {
		t.Errorf("%d spans", len(c.spans))
	}
	if w := c.spans.written(c.system); w.ago() != 0 || !w.known {
		t.Errorf("%+v", w)
	}
}
