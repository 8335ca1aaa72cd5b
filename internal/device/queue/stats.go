package queue

import (
	"maps"
	"time"
)

// Counts are what has happened since Open.
type Counts struct {
	Accepted     uint64 // requests stored
	Busy         uint64 // requests refused for want of a place
	Answered     uint64 // answers stored
	Delivered    uint64 // deliveries noted as arrived
	Forgotten    uint64 // answers removed by age or for want of room
	Transactions uint64 // on the disk
	Damaged      uint64 // files set aside
	Interrupted  int    // requests that were in work when the process before this one died
}

// Stats is the state of a queue.
type Stats struct {
	Counts
	// Waiting requests have not been handed out, Working ones were started; Ways
	// has all that have no answer, by way in.
	Waiting, Working int
	Ways             map[string]int
	// Oldest is when the oldest request without an answer was accepted; zero if
	// there is none.
	Oldest time.Time
	// Answers are kept, with documents of AnswerBytes.
	Answers     int
	AnswerBytes int64
	// Pending are the answers not yet delivered, by destination.
	Pending map[string]int
	// Faulty is set while the disk cannot be used.
	Faulty bool
}

// Stats tells the state of the queue.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{
		Counts: q.counts, Waiting: q.lines.n + len(q.suspects), Working: len(q.working), Ways: map[string]int{},
		Answers: len(q.answers.byID), AnswerBytes: q.answers.bytes, Pending: maps.Clone(q.pending), Faulty: q.commits.Faulty(),
	}
	for name, w := range q.ways {
		s.Ways[name] = w.entries
	}
	for _, e := range q.active {
		if s.Oldest.IsZero() || e.accepted.Before(s.Oldest) {
			s.Oldest = e.accepted
		}
	}
	return s
}
