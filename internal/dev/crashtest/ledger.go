package crashtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Ledger notes what a program has confirmed, over all its runs. The zero value is
// empty. Its methods may be called concurrently.
type Ledger struct {
	mu        sync.Mutex
	accepted  map[string]bool
	answers   map[string]string // checksum
	firsts    map[string]bool   // ids whose attempt 1 went out
	delivered map[string]bool
	sent      int
	faults    []string
}

// Accepted notes that a request will be answered.
func (l *Ledger) Accepted(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.accepted == nil {
		l.accepted = map[string]bool{}
	}
	l.accepted[id] = true
}

// Answer notes an answer that went out. attempt 0 is one that the requester asked
// for again; sum is a checksum of its bytes.
func (l *Ledger) Answer(id string, attempt int, sum string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers == nil {
		l.answers, l.firsts = map[string]string{}, map[string]bool{}
	}
	l.sent++
	before, repeated := l.answers[id]
	l.answers[id] = sum
	if repeated && before != sum {
		l.fault("%s was answered twice, with different bytes", id)
	}
	if attempt == 1 {
		if l.firsts[id] {
			l.fault("%s went out twice as attempt 1", id)
		}
		l.firsts[id] = true
	}
	if attempt > 0 && l.delivered[id] {
		l.fault("%s went out again after its delivery was confirmed", id)
	}
}

// Delivered notes that an answer must not go out again by itself.
func (l *Ledger) Delivered(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.delivered == nil {
		l.delivered = map[string]bool{}
	}
	l.delivered[id] = true
}

// Line notes what a line of a program's output says.
func (l *Ledger) Line(line string) {
	var word, id, sum string
	var attempt int
	if n, _ := fmt.Sscan(line, &word, &id, &attempt, &sum); n >= 2 {
		switch {
		case word == "accepted":
			l.Accepted(id)
			return
		case word == "delivered":
			l.Delivered(id)
			return
		case word == "answer" && n == 4:
			l.Answer(id, attempt, sum)
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if line != "ready" {
		l.fault("the program says %q", line)
	}
}

func (l *Ledger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// Answers returns the checksums of the answers that went out, by id.
func (l *Ledger) Answers() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	answers := make(map[string]string, len(l.answers))
	for id, sum := range l.answers {
		answers[id] = sum
	}
	return answers
}

// Close tells what was wrong, once everything that was accepted must have been
// answered; nil if nothing was.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	faults := slices.Clone(l.faults)
	for id := range l.accepted {
		if _, ok := l.answers[id]; !ok {
			faults = append(faults, id+" was accepted and is lost")
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.Sort(faults)
	return fmt.Errorf("%d faults: %s", len(faults), strings.Join(faults[:min(len(faults), 10)], "; "))
}

// String gives the figures.
func (l *Ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d accepted, %d answered, %d answers sent, %d confirmed as delivered",
		len(l.accepted), len(l.answers), l.sent, len(l.delivered))
}
