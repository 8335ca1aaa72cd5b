package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

const (
	// lastAnswers are shown.
	lastAnswers = 10
	// maxViewers is how many pages are told at a time: each holds a connection.
	maxViewers = 32
	// pace is the least time between two things that a page is told.
	pace = 200 * time.Millisecond
	// heartbeat finds connections whose other end is gone.
	heartbeat = 15 * time.Second
	// writeLimit is the patience with a page that does not read.
	writeLimit = 10 * time.Second
)

// Activity tells pages what the engine is doing: its state, how many requests are
// unanswered, and what became of the last ones. It knows of a request no more than
// the status messages say, which is no image, no name and no sender.
//
// As an http.Handler it answers with server-sent events, a snapshot each. Its
// methods may be called concurrently. The zero value works.
type Activity struct {
	mu       sync.Mutex
	now      snapshot             // guarded by mu
	accepted map[uint64]time.Time // requests without an answer, by number; guarded by mu
	scan     uint64               // the number of the scan that Progress is of; guarded by mu
	changed  chan struct{}        // closed at the next change; nil where nobody waits; guarded by mu
	ended    chan struct{}        // closed by Disconnect; nil where nobody waits; guarded by mu
	viewers  int                  // guarded by mu
}

// snapshot is what a page is told.
type snapshot struct {
	State   request.State  `json:"state"`
	Model   *request.Model `json:"model,omitempty"`
	Waiting int            `json:"waiting"` // requests that are accepted and not answered
	// Progress is how much of the scan in work is segmented, above 0 to 1; absent
	// where none is.
	Progress float64    `json:"progress,omitempty"`
	Recent   []answered `json:"recent"` // the last answers, the newest first
}

// answered is what became of a request.
type answered struct {
	Number       uint64       `json:"number"`
	Answered     time.Time    `json:"answered"`
	Code         request.Code `json:"code,omitempty"`         // of the error; empty where it succeeded
	Milliseconds *float64     `json:"milliseconds,omitempty"` // since it was accepted; absent where it was not
}

// Note takes a status message of the engine; see engine.Deps.Status. It does not
// block.
func (a *Activity) Note(s request.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.accepted == nil {
		a.accepted = make(map[uint64]time.Time)
	}
	switch {
	case s.Request == 0: // of the component as a whole
	case s.Message == request.MessageScanInWork:
		a.scan, a.now.Progress = s.Request, s.Progress
	case s.Message == request.MessageImageReceived:
		a.accepted[s.Request] = s.Time
	default:
		end := answered{Number: s.Request, Answered: s.Time, Code: s.Code}
		if began, known := a.accepted[s.Request]; known {
			took := float64(s.Time.Sub(began).Microseconds()) / 1000
			end.Milliseconds = &took
			delete(a.accepted, s.Request)
		}
		if a.scan == s.Request {
			a.now.Progress = 0
		}
		a.now.Recent = slices.Insert(a.now.Recent, 0, end)
		if len(a.now.Recent) > lastAnswers {
			a.now.Recent = a.now.Recent[:lastAnswers]
		}
	}
	a.now.State, a.now.Waiting = s.State, len(a.accepted)
	if s.Model != nil && s.Model.Name != "" {
		a.now.Model = s.Model
	}
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// Disconnect ends the streams that are open, as a server must that waits for its
// connections: see listener.Listener.OnShutdown. Pages connect again.
func (a *Activity) Disconnect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended != nil {
		close(a.ended)
		a.ended = nil
	}
}

// enter counts a viewer in; ended is closed when it has to leave.
func (a *Activity) enter() (ended <-chan struct{}, room bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.viewers >= maxViewers {
		return nil, false
	}
	a.viewers++
	if a.ended == nil {
		a.ended = make(chan struct{})
	}
	return a.ended, true
}

func (a *Activity) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.viewers--
}

// look returns the snapshot as an event, and what is closed when there is another.
func (a *Activity) look() (event []byte, changed <-chan struct{}, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	now := a.now
	if now.State == "" {
		now.State = request.StateStarting
	}
	if now.Recent == nil {
		now.Recent = []answered{}
	}
	document, err := json.Marshal(now)
	return fmt.Appendf(nil, "data: %s\n\n", document), a.changed, err
}

// ServeHTTP tells a page of every change until it goes away.
func (a *Activity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ended, room := a.enter()
	if !room {
		problem.Write(w, problem.New(request.CodeBusy, "what the device is doing is told to so many pages already, and slices can be sent all the same"))
		return
	}
	defer a.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	protect(w.Header())
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Time{}) != nil { // there is nothing more to read, and no hurry
		return
	}
	send := func(event []byte) bool {
		if control.SetWriteDeadline(time.Now().Add(writeLimit)) != nil {
			return false
		}
		if _, err := w.Write(event); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		event, changed, err := a.look()
		if err != nil || !send(event) {
			return
		}
		// What changes in the meantime is told in one.
		select {
		case <-time.After(pace):
		case <-ended:
			return
		case <-r.Context().Done():
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-beat.C:
				if !send([]byte(": still here\n\n")) {
					return
				}
			case <-ended:
				return
			case <-r.Context().Done():
				return
			}
		}
	}
}
