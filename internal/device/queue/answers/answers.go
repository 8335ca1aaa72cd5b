// Package answers has, in memory, the answers that are kept: of which requests, on
// their way where, and tried how often. It says which of them are to be forgotten,
// because they are too old or for want of room.
//
// It changes nothing on the disk and is not safe for concurrent use. Package queue
// calls it, with its lock held where nothing else is said.
package answers

import (
	"maps"
	"math"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/ownclock"
	"github.com/brainseg/brainseg/internal/device/queue/records"
)

// Kept are the answers.
type Kept struct {
	system  func() time.Time
	clock   ownclock.Clock // of the age of answers; started when the file is known
	behind  time.Duration  // the system's clock, as the file says
	numbers map[records.Key]uint64
	bytes   int64
	last    uint64                       // number that was given
	synced  uint64                       // the last that is on the disk
	pending map[string]int               // deliveries by destination
	handed  map[string]map[uint64]uint32 // attempts by this process, by destination and number
	epoch   uint32                       // starts with deliveries
	from    uint64                       // no answer below it can be forgotten...
	spare   uint64                       // ...but from this one on where room is needed; 0 for none

	expendable []string // destinations whose deliveries are given up for want of room
	next       int64    // on the clock, when to look for old ones
}

// New returns none. system is the system's clock. Deliveries to expendable destinations
// are given up for want of room.
func New(system func() time.Time, expendable ...string) *Kept {
	return &Kept{
		expendable: expendable, system: system, handed: map[string]map[uint64]uint32{},
		numbers: map[records.Key]uint64{}, pending: map[string]int{},
	}
}

// Adopt takes over what stands in the file. Numbers that were given are not given
// again.
func (k *Kept) Adopt(found records.Contents) {
	k.behind = time.Duration(found.Behind) * time.Second
	if k.clock == (ownclock.Clock{}) {
		k.clock = ownclock.Start(k.system().Add(-k.behind))
	}
	k.clock.Reach(found.Newest)
	k.numbers, k.bytes, k.pending, k.from = found.Answered, found.AnswerBytes, found.Pending, 0
	k.spare = 0
	if k.numbers == nil {
		k.numbers = map[records.Key]uint64{}
	}
	if k.pending == nil {
		k.pending = map[string]int{}
	}
	k.last, k.synced = max(k.last, found.LastAnswer), found.LastAnswer
	k.epoch = max(k.epoch, found.Epoch)
}

// Now is the time that the age of answers is counted by, in nanoseconds.
func (k *Kept) Now() int64 { return k.clock.Now() }

// Number is that of a request's answer.
func (k *Kept) Number(key records.Key) (number uint64, ok bool) {
	number, ok = k.numbers[key]
	return number, ok
}

// Len is the number of answers.
func (k *Kept) Len() int { return len(k.numbers) }

// Bytes is what the documents take together.
func (k *Kept) Bytes() int64 { return k.bytes }

// Synced is the number of the last answer that is on the disk.
func (k *Kept) Synced() uint64 { return k.synced }

// Give gives an answer the next number, and says when it is given: on the clock of
// the answers, in nanoseconds.
func (k *Kept) Give() (number uint64, finished int64) {
	k.last++
	return k.last, k.clock.Now()
}

// Behind tells by how many seconds the clock of the answers is behind the system's,
// which was set forward, and whether the file is to be told: or the next process would
// take every answer to be older by that.
func (k *Kept) Behind() (seconds uint32, untold bool) {
	behind := k.clock.Behind(k.system())
	if behind < k.behind+time.Minute {
		return 0, false
	}
	return uint32(min(behind/time.Second, math.MaxUint32)), true
}

// ToldBehind notes that the file says so.
func (k *Kept) ToldBehind(seconds uint32) { k.behind = time.Duration(seconds) * time.Second }

// Add keeps an answer that is on the disk now.
func (k *Kept) Add(key records.Key, number uint64, bytes int64, destinations []string) {
	k.numbers[key] = number
	k.synced = number
	k.bytes += bytes
	for _, d := range destinations {
		k.pending[d]++
	}
}

// Drop forgets an answer.
func (k *Kept) Drop(key records.Key, number uint64, bytes int64) {
	k.bytes -= bytes
	if k.numbers[key] == number {
		delete(k.numbers, key)
	}
}

// Epoch is the number of starts of the process with deliveries.
func (k *Kept) Epoch() uint32 { return k.epoch }

// Begin counts a start of the process, if there are deliveries, which it tells.
func (k *Kept) Begin() bool {
	if len(k.pending) == 0 {
		return false
	}
	k.epoch++
	return true
}

// Pending is the number of deliveries to a destination.
func (k *Kept) Pending(destination string) int { return k.pending[destination] }

// Destinations are those to which there are deliveries.
func (k *Kept) Destinations() []string { return slices.Collect(maps.Keys(k.pending)) }

// AllPending is the number of deliveries by destination.
func (k *Kept) AllPending() map[string]int { return maps.Clone(k.pending) }

// HandOut notes that an answer is handed out for a destination, and returns how often
// it had been before; zero if it had not in this process, where attempt is the one now.
func (k *Kept) HandOut(destination string, number uint64, attempt int) (before uint32) {
	handed := k.handed[destination]
	if handed == nil {
		handed = map[uint64]uint32{}
		k.handed[destination] = handed
	}
	if before = handed[number]; before > 0 {
		attempt = int(before) + 1
	}
	handed[number] = uint32(attempt)
	return before
}

// Arrived notes that an answer is not on its way to a destination any more.
func (k *Kept) Arrived(destination string, number uint64) {
	if k.pending[destination]--; k.pending[destination] <= 0 {
		delete(k.pending, destination)
	}
	k.NotHanded(destination, number)
	k.from = min(k.from, number)
}

// NotHanded forgets how often an answer was handed out for a destination.
func (k *Kept) NotHanded(destination string, number uint64) { delete(k.handed[destination], number) }

// Full tells whether there is no room for the answer of one more request beside those
// that are open. Old answers make room for new ones by themselves, unless they must
// still be delivered.
func (k *Kept) Full(open, maxAnswers int, maxBytes int64) bool {
	pending := 0
	for d, n := range k.pending {
		if !slices.Contains(k.expendable, d) {
			pending = max(pending, n)
		}
	}
	most := maxBytes / 16 * 17 // beyond which they go where they can go
	return pending+open >= maxAnswers || pending > 0 && k.bytes > most
}

const (
	// sweepRecords bounds the answers that one sweep looks at.
	sweepRecords = 512
	// sweepEvery is how often answers that are too old are looked for; those for
	// whose room there is need are found at once.
	sweepEvery = time.Minute
)

// Sweep is a search for answers to forget: the oldest first, and none that must still
// be delivered, but to expendable destinations where room is needed.
type Sweep struct {
	Found   []records.Answer    // to be removed from the disk
	GivenUp map[string][]uint64 // deliveries of these, by destination; likewise
	More    bool                // is there to look at

	from, spare  uint64
	finished     int64 // what was so then, or earlier, is too old
	excess       int
	excessBytes  int64
	destinations []string
	expendable   []string
}

// Sweep begins a search, if one is due.
func (k *Kept) Sweep(maxAnswers int, maxBytes int64, retain time.Duration) (s Sweep, due bool) {
	now := k.clock.Now()
	s = Sweep{from: k.from, spare: k.spare, finished: now - int64(retain), GivenUp: map[string][]uint64{}}
	for d := range k.pending {
		if slices.Contains(k.expendable, d) {
			s.expendable = append(s.expendable, d)
		} else {
			s.destinations = append(s.destinations, d)
		}
	}
	if len(k.numbers) > maxAnswers || k.bytes > maxBytes {
		// In one go to a little below the bound, so that each answer does not cost a
		// transaction of its own.
		s.excess, s.excessBytes = len(k.numbers)-maxAnswers*15/16, k.bytes-maxBytes/16*15
	}
	if s.excess <= 0 && s.excessBytes <= 0 {
		if len(k.numbers) == 0 || now < k.next {
			return s, false
		}
		k.next = now + int64(min(sweepEvery, retain/16))
	} else if s.spare > 0 {
		s.from, s.spare = min(s.from, s.spare), 0
	}
	return s, true
}

// Find looks into the database. It needs no lock.
func (s *Sweep) Find(tx *bolt.Tx) error {
	seen := 0
	for a, err := range records.Answers(tx, s.from) {
		if err != nil || a.Finished > s.finished && s.excess <= 0 && s.excessBytes <= 0 {
			return err
		}
		if seen++; seen > sweepRecords {
			s.More = true
			return nil
		}
		s.from = a.Number + 1
		if records.Pending(tx, a.Number, s.destinations) {
			continue
		}
		if !s.giveUp(tx, a.Number) {
			continue
		}
		s.excess--
		s.excessBytes -= int64(a.Document)
		s.Found = append(s.Found, a)
	}
	return nil
}

// giveUp gives up the deliveries of an answer to expendable destinations, and reports
// false where it has some and no room is needed.
func (s *Sweep) giveUp(tx *bolt.Tx, number uint64) bool {
	for _, d := range s.expendable {
		switch {
		case !records.Pending(tx, number, []string{d}):
		case s.excess <= 0 && s.excessBytes <= 0: // it is only old
			if s.spare == 0 {
				s.spare = number
			}
			return false
		default:
			s.GivenUp[d] = append(s.GivenUp[d], number)
		}
	}
	return true
}

// Swept forgets what a sweep has found, notes that below that there is nothing to
// forget, and returns how many deliveries were given up.
func (k *Kept) Swept(s *Sweep) (givenUp uint64) {
	for _, a := range s.Found {
		k.Drop(records.KeyOf(a.ID), a.Number, int64(a.Document))
	}
	for d, numbers := range s.GivenUp {
		for _, number := range numbers {
			k.Arrived(d, number)
			givenUp++
		}
	}
	k.from, k.spare = s.from, s.spare
	return givenUp
}
