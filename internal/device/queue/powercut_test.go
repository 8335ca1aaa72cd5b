package queue

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/powercut"
)

var (
	cutRequests = flag.Int("cut-requests", 40, "how many requests the power cut test records")
	cutStates   = flag.Int("cut-states", 400, "how many disks the power cut test builds")
)

func TestNothingIsLostByAPowerCut(t *testing.T) {
	root := t.TempDir()
	trace, disk := powercut.RecordTest(t, root, crashFolder+"="+filepath.Join(root, "queue"), crashLimit+"="+fmt.Sprint(*cutRequests))
	states, before, known := 0, 0, newSaid()
	err := trace.States(powercut.StateOptions{States: *cutStates, Folder: disk}, func(said []string) error {
		states++
		for _, line := range said[before:] {
			known.line(line)
		}
		before = len(said)
		return known.check(t, filepath.Join(disk, "queue"))
	})
	if err != nil {
		t.Error(err)
	}
	if len(known.accepted) < *cutRequests/2 {
		t.Errorf("only %d requests were accepted", len(known.accepted))
	}
	t.Logf("%d operations, %d states of the disk: %d requests accepted, %d answers sent, %d delivered",
		trace.Len(), states, len(known.accepted), len(known.answers), len(known.delivered))
}

// said is what the program has confirmed.
type said struct {
	accepted, delivered map[string]bool
	answers             map[string]string
	attempts            map[string]int
}

func newSaid() *said {
	return &said{accepted: map[string]bool{}, delivered: map[string]bool{}, answers: map[string]string{}, attempts: map[string]int{}}
}

func (s *said) line(line string) {
	var word, id, sum string
	var attempt int
	_, _ = fmt.Sscan(line, &word, &id, &attempt, &sum)
	switch word {
	case "accepted":
		s.accepted[id] = true
	case "delivered":
		s.delivered[id] = true
	case "answer":
		s.answers[id] = sum
		s.attempts[id] = max(s.attempts[id], attempt)
	}
}

// check opens the queue of a disk and holds it to what was confirmed.
func (s *said) check(t testing.TB, folder string) (err error) {
	var damage error
	q, err := Open(t.Context(), Options{Folder: folder, MaxCrashes: 255, MaxRequests: 64, Damaged: func(_ string, cause error) { damage = cause }})
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	defer shut(t, q)
	if damage != nil {
		return fmt.Errorf("it is damaged: %w", damage)
	}
	for id := range s.accepted {
		state, answer, err := q.Lookup(id)
		switch want, sent := s.answers[id]; {
		case err != nil:
			return err
		case state == Unknown:
			return fmt.Errorf("%s was accepted and is lost", id)
		case sent && state != Answered:
			return fmt.Errorf("%s was answered, and the answer is lost", id)
		case sent && sum(answer) != want:
			return fmt.Errorf("the answer to %s has other bytes", id)
		}
	}
	for q.Stats().Waiting > 0 {
		w := next(t, q)
		if err := wrongWork(w); err != nil {
			return err
		}
		if w.Crashes > 0 { // or the next one of these does not come
			finish(t, q, w.ID, "answer")
		}
	}
	if q.Stats().Pending["ipc"] == 0 {
		return nil
	}
	for _, d := range deliveries(t, q, "ipc", 1000) {
		switch {
		case s.delivered[d.ID]:
			return fmt.Errorf("%s was delivered and is to be again", d.ID)
		case d.Attempt <= s.attempts[d.ID]:
			return fmt.Errorf("%s is sent again as attempt %d", d.ID, d.Attempt)
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err == nil && len(left) != 2 {
		err = fmt.Errorf("files are left: %s", strings.Join(left, ", "))
	}
	return err
}
