// Package health gathers what the parts of the component count, and gives it three
// forms: the document in status messages, Prometheus' text, and the messages that
// AWS' CloudWatch component takes.
//
// It is told of every request that is accepted and every answer, and asks the other
// parts (Add) when somebody wants to know. It sends nothing, watches nothing by
// itself and runs no goroutine: package greengrass publishes, an HTTP server mounts
// the handler. Nothing in it names a request or an image.
package health

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
)

// Options are the settings of New. The zero value works.
type Options struct {
	// Version of the program. Default "".
	Version string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Health gathers. Its methods may be called concurrently.
type Health struct {
	version string
	now     func() time.Time
	start   time.Time

	mu      sync.Mutex
	sources []func(*request.Health) // guarded by mu
	model   func() request.Model    // guarded by mu
	open    map[uint64]time.Time    // when unanswered requests were accepted; guarded by mu
	answers map[string]uint64       // guarded by mu
	latency durations               // guarded by mu
	inside  durations               // in the network; guarded by mu
	waiting map[string]time.Time    // since when messages wait, by kind; guarded by mu
}

// New makes a Health; the process counts as started now.
func New(o Options) *Health {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Health{
		version: o.Version, now: o.Now, start: o.Now(), model: func() request.Model { return request.Model{} },
		open: make(map[uint64]time.Time), waiting: make(map[string]time.Time), answers: make(map[string]uint64),
	}
}

// Add has a part of the component fill in what it knows whenever a document is
// made. The function must not block, nor call the Health.
func (h *Health) Add(source func(*request.Health)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sources = append(h.sources, source)
}

// Model says which model is in use; it is asked like the functions of Add.
func (h *Health) Model(model func() request.Model) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.model = model
}

// Accepted notes that a request waits for its answer.
func (h *Health) Accepted(number uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[number] = h.now()
}

// succeeded stands for the code of answers without an error.
const succeeded = "succeeded"

// Answered notes the answer to a request, accepted or not.
func (h *Health) Answered(number uint64, r request.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, number)
	if r.Error != nil {
		h.answers[string(r.Error.Code)]++
		return
	}
	h.answers[succeeded]++
	if r.Timings != nil && r.Scan == nil { // a scan is many slices
		h.latency.add(r.Timings.Total)
		h.inside.add(r.Timings.Inference)
	}
}

// Document tells how the component fares now.
func (h *Health) Document() request.Health {
	h.mu.Lock()
	now := h.now()
	d := request.Health{
		Version: h.version, UptimeSeconds: seconds(now.Sub(h.start)), Unanswered: len(h.open), Answers: maps.Clone(h.answers),
		Latency: h.latency.quantiles(), Inference: h.inside.quantiles(),
	}
	for _, accepted := range h.open {
		d.OldestSeconds = max(d.OldestSeconds, seconds(now.Sub(accepted)))
	}
	h.mu.Unlock()
	d.Memory = processMemory()
	h.ask(&d, now)
	return d
}

// Note notes since when messages wait. It is to be called every now and then, for
// nobody else knows when they began to.
func (h *Health) Note() { h.ask(new(request.Health), h.now()) }

// ask has the parts fill in what they know.
func (h *Health) ask(d *request.Health, now time.Time) {
	d.Lost, d.Waiting, d.WaitingSeconds = make(map[string]uint64), make(map[string]int), make(map[string]float64)
	h.mu.Lock()
	sources := slices.Clone(h.sources)
	h.mu.Unlock()
	for _, fill := range sources {
		fill(d)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for kind, n := range d.Waiting {
		since, before := h.waiting[kind]
		switch {
		case n == 0:
			delete(h.waiting, kind)
		case !before:
			h.waiting[kind], since = now, now
		}
		longest := 0.0
		if n > 0 { // by a part that knows of processes before this one, or by what was seen here
			longest = max(d.WaitingSeconds[kind], seconds(now.Sub(since)))
		}
		d.WaitingSeconds[kind] = longest
	}
}

// seconds rounds to milliseconds, and a clock that was set back to 0.
func seconds(d time.Duration) float64 { return float64(max(0, d).Milliseconds()) / 1000 }
