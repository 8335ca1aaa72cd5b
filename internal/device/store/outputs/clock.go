package outputs

import (
	"cmp"
	"sync"
	"time"
)

// Clock tells when outputs were written though the system's clock, by which they are
// dated, was set meanwhile. The process' own clock goes on whatever happens to that
// one, so whoever looks at both now and then knows by how much it was set: outputs do
// not grow old at once where it is set forward, and new ones are not taken for the
// oldest where it is set back. What earlier processes knew is lost: a start takes the
// system's clock as it is.
//
// The zero value starts with the first look, and all sweepers of a process should share
// one. It may be used concurrently.
type Clock struct {
	mu      sync.Mutex
	started time.Time // guarded by mu
	spans   spans     // guarded by mu
}

// spans are the times between which the system's clock was set, the present last.
type spans []span

// span is a time in which the system's clock was not set.
type span struct {
	from, to time.Time     // by the system's clock
	end      time.Duration // to, by the process' own
}

const (
	// steady is by how much the two clocks may drift apart between two looks: the
	// system's is hurried or slowed down to be right.
	steady = time.Minute
	// maxSpans bounds what is remembered.
	maxSpans = 16
)

// look looks at both clocks, and returns what is known now.
func (c *Clock) look() spans {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started.IsZero() {
		c.started = now
	}
	c.spans = c.spans.look(now.Round(0), now.Sub(c.started))
	return c.spans
}

// look adds what both clocks say. It changes nothing that was returned before.
func (s spans) look(system time.Time, own time.Duration) spans {
	if len(s) == 0 {
		return spans{{system, system, own}}
	}
	before, last := s[:len(s)-1:len(s)-1], s[len(s)-1]
	passed := own - last.end
	if set := system.Sub(last.to) - passed; set.Abs() <= steady {
		return append(before, span{last.from, system, own})
	}
	// It was set at some time since the last look: both spans get all of it.
	next := append(before, span{last.from, last.to.Add(passed), own}, span{system.Add(-passed), system, own})
	return next[max(0, len(next)-maxSpans):]
}

// written tells when an output was that has a date. Where it may have been in several
// spans that is in the latest: outputs are counted too young rather than too old.
func (s spans) written(date time.Time) written {
	w := written{date: date, now: s[len(s)-1].end}
	for i := len(s) - 1; i >= 0; i-- {
		early := i > 0 && date.Before(s[i].from.Add(-steady))
		if late := date.After(s[i].to.Add(steady)); !early && !late {
			w.at, w.known = s[i].end-s[i].to.Sub(date), true
			break
		}
	}
	return w
}

// written is when an output was, by the process' own clock. It is not known of one that
// is dated later than the present: that was written before the process, or by the clock
// of another machine.
type written struct {
	at, now time.Duration // at is negative for those of earlier processes
	known   bool
	date    time.Time
}

// ago is for how long an output has been there: at least, where that is not known, for
// as long as the process.
func (w written) ago() time.Duration { return w.now - w.at }

// compare orders outputs, the oldest first. Those of which it is not known come first,
// by their dates: the clock was set back since.
func (w written) compare(other written) int {
	switch {
	case w.known != other.known && other.known:
		return -1
	case w.known != other.known:
		return 1
	case w.known:
		return cmp.Compare(w.at, other.at)
	}
	return w.date.Compare(other.date)
}
