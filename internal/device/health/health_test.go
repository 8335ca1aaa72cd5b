package health

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/device/request"
)

// clock is a time that a test sets.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func newHealth() (*Health, *clock) {
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	return New(Options{Version: "1.2.3", Now: func() time.Time { return c.now }}), c
}

func success(total, inference float64) request.Result {
	return request.Result{Status: request.StatusSucceeded, Timings: &request.Timings{Total: total, Inference: inference}}
}

func TestADocumentTellsWhatHappened(t *testing.T) {
	h, c := newHealth()
	h.Add(func(d *request.Health) { d.StuckReads, d.Lost["requests"] = 2, 3 })
	h.Accepted(1)
	c.pass(time.Second)
	h.Accepted(2)
	h.Accepted(3)
	h.Answered(2, success(5, 3))
	h.Answered(3, success(7, 4))
	h.Answered(4, request.Failed("x", request.NewError(request.CodeBusy, "the queue is full", nil))) // never accepted
	c.pass(1500 * time.Millisecond)

	d := h.Document()
	if d.Memory.Resident <= 0 || d.Memory.Peak < d.Memory.Resident || d.Memory.Heap <= 0 || d.Memory.Limit <= 0 {
		t.Errorf("memory: %+v", d.Memory)
	}
	d.Memory = request.Memory{}
	want := request.Health{
		Version: "1.2.3", UptimeSeconds: 2.5, Unanswered: 1, OldestSeconds: 2.5, Answers: map[string]uint64{"succeeded": 2, "busy": 1},
		Latency: &request.Quantiles{Count: 2, P50: 5, P95: 7, P99: 7, Max: 7}, Inference: &request.Quantiles{Count: 2, P50: 3, P95: 4, P99: 4, Max: 4},
		StuckReads: 2, Lost: map[string]uint64{"requests": 3}, Waiting: map[string]int{}, WaitingSeconds: map[string]float64{},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.pass(-time.Hour) // the clock is set back
	if d := h.Document(); d.UptimeSeconds != 0 || d.OldestSeconds != 0 {
		t.Errorf("before its start: %+v", d)
	}
}

func TestMessagesAreSaidToWaitFromWhenTheFirstOfThemDid(t *testing.T) {
	h, c := newHealth()
	waiting := 0
	h.Add(func(d *request.Health) { d.Waiting["results"] = waiting })
	for _, step := range []struct {
		waiting int
		want    float64
	}{{0, 0}, {3, 0}, {2, 10}, {5, 20}, {0, 0}, {1, 0}, {1, 10}} {
		waiting = step.waiting
		h.Note()
		if got := h.Document().WaitingSeconds["results"]; got != step.want {
			t.Errorf("%d wait: for %v s, want %v", step.waiting, got, step.want)
		}
		c.pass(10 * time.Second)
	}
}

func TestAScanIsNoSlice(t *testing.T) {
	h, _ := newHealth()
	r := success(60_000, 50_000)
	r.Scan = new(request.ScanResult)
	h.Answered(1, r)
	if d := h.Document(); d.Latency != nil || d.Answers["succeeded"] != 1 {
		t.Errorf("%+v", d)
	}
}

func TestQuantilesAreOfTheLastDurations(t *testing.T) {
	var d durations
	if d.quantiles() != nil {
		t.Error("quantiles of nothing")
	}
	for range 10 {
		d.add(1e6)
	}
	for i := range recent {
		d.add(float64(i + 1))
	}
	want := request.Quantiles{Count: recent, P50: 512, P95: 973, P99: 1014, Max: 1024}
	if diff := cmp.Diff(want, *d.quantiles()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d.count != recent+10 || d.buckets[len(bounds)] != 10 {
		t.Errorf("the histogram has %d, and %d above its bounds", d.count, d.buckets[len(bounds)])
	}
	d.add(math.NaN())
	d.add(-1)
	if d.buckets[0] != 4 { // and 1 and 2
		t.Errorf("what cannot be: %d", d.buckets[0])
	}
}

// The rules are those of the component's own parser (aws.greengrass.Cloudwatch).
func TestCloudWatchGetsWhatHappenedSinceTheLastTime(t *testing.T) {
	h, c := newHealth()
	h.Answered(1, success(5, 3))
	cw := h.CloudWatch()
	values := func() map[string]float64 {
		t.Helper()
		messages, err := cw.Messages()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, message := range messages {
			var m struct {
				Request struct {
					Namespace  string
					MetricData struct {
						MetricName string
						Value      *float64
						Unit       string
						Timestamp  int64
					}
				}
			}
			if err := json.Unmarshal(message, &m); err != nil {
				t.Fatal(err)
			}
			data := m.Request.MetricData
			if m.Request.Namespace != "brainseg" || data.MetricName == "" || data.Value == nil || data.Unit == "" || data.Timestamp != c.now.Unix() {
				t.Errorf("message %s", message)
				continue
			}
			got[data.MetricName] = *data.Value
		}
		if got["MemoryResident"] <= 0 {
			t.Errorf("memory: %v", got)
		}
		delete(got, "MemoryResident")
		return got
	}
	quiet := map[string]float64{"UnansweredRequests": 0, "OldestUnanswered": 0, "Succeeded": 0, "Failed": 0, "Lost": 0, "ModelsRefused": 0, "StuckReads": 0}
	if diff := cmp.Diff(quiet, values()); diff != "" {
		t.Errorf("before anything (-want +got):\n%s", diff)
	}
	c.pass(time.Minute)
	h.Accepted(2)
	h.Answered(3, success(9, 3))
	h.Answered(4, request.Failed("", nil))
	c.pass(time.Second)
	want := map[string]float64{
		"UnansweredRequests": 1, "OldestUnanswered": 1, "Succeeded": 1, "Failed": 1, "Lost": 0, "ModelsRefused": 0, "StuckReads": 0, "LatencyP50": 5, "LatencyP95": 9,
	}
	if diff := cmp.Diff(want, values()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h.Answered(2, request.Failed("", nil))
	quiet["Failed"] = 1
	if diff := cmp.Diff(quiet, values()); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}
