package records

import (
	"encoding/binary"
	"io"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// Contents is what a database holds, as far as it is kept in memory.
type Contents struct {
	// Requests have no answer; they stand in the order of their numbers.
	Requests []Request
	// Answered has the numbers of all answers, and AnswerBytes what their documents
	// take together.
	Answered    map[Key]uint64
	AnswerBytes int64
	// Newest is the highest Finished of an answer.
	Newest int64
	// Pending counts the deliveries, by destination.
	Pending map[string]int
	// LastRequest and LastAnswer are the highest numbers that were ever given.
	LastRequest, LastAnswer uint64
	// Epoch counts the starts with deliveries.
	Epoch uint32
	// Behind is by how many seconds the clock of the answers was behind the system's.
	Behind uint32

	answers []uint64 // numbers, growing
}

// Load checks the file of a database, before bbolt gets to see it, and takes from it
// what is kept in memory. Damage is boltfile.ErrDamaged.
func Load(file io.ReaderAt, size int64) (Contents, error) {
	found := Contents{Answered: map[Key]uint64{}, Pending: map[string]int{}}
	version := uint32(0)
	info, err := boltfile.Check(file, size, func(bucket, key, value []byte) error {
		switch {
		case string(bucket) == string(bucketState):
			if len(value) != 4 {
				return boltfile.Damaged("a setting has %d bytes", len(value))
			}
			switch string(key) {
			case string(keyFormat):
				version = binary.LittleEndian.Uint32(value)
			case string(keyEpoch):
				found.Epoch = binary.LittleEndian.Uint32(value)
			case string(keyBehind):
				found.Behind = binary.LittleEndian.Uint32(value)
			}
			return nil
		case string(bucket) == string(bucketDeliveries):
			return found.addDelivery(key, value)
		case len(key) != 12:
			return boltfile.Damaged("a key has %d bytes", len(key))
		}
		number, part := binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:])
		if part != 0 {
			return nil
		}
		if string(bucket) == string(bucketRequests) {
			return found.addRequest(number, value)
		}
		return found.addAnswer(number, value)
	})
	if err != nil {
		return Contents{}, err
	}
	for _, name := range [][]byte{bucketState, bucketRequests, bucketAnswers, bucketDeliveries} {
		if _, ok := info.Sequences[string(name)]; !ok {
			return Contents{}, boltfile.Damaged("the bucket %s is missing", name)
		}
	}
	if version != format {
		return Contents{}, boltfile.Damaged("its format is %d, and this program knows %d", version, format)
	}
	found.LastRequest = max(found.LastRequest, info.Sequences[string(bucketRequests)])
	found.LastAnswer = max(found.LastAnswer, info.Sequences[string(bucketAnswers)])
	return found, nil
}

func (c *Contents) addRequest(number uint64, value []byte) error {
	r := Request{Number: number}
	if _, err := r.decode(value); err != nil {
		return boltfile.Damaged("a request cannot be read")
	}
	// The system's clock may have been set back since, and may be set while the process
	// runs: from here on its own clock counts how long ago that was.
	now := time.Now()
	r.Accepted = now.Add(-max(0, now.Sub(r.Accepted)))
	c.Requests = append(c.Requests, r)
	c.LastRequest = number
	return nil
}

func (c *Contents) addAnswer(number uint64, value []byte) error {
	a := Answer{Number: number}
	if _, err := a.decode(value); err != nil {
		return boltfile.Damaged("an answer cannot be read")
	}
	c.Answered[KeyOf(a.ID)] = number
	c.answers = append(c.answers, number)
	c.AnswerBytes += int64(a.Document)
	c.Newest = max(c.Newest, a.Finished)
	c.LastAnswer = number
	return nil
}

// addDelivery relies on answers coming before deliveries.
func (c *Contents) addDelivery(key, value []byte) error {
	var d delivery
	n := len(key) - 9
	if n < 1 || key[n] != 0 || d.decode(value) != nil {
		return boltfile.Damaged("a delivery cannot be read")
	}
	if _, ok := slices.BinarySearch(c.answers, binary.BigEndian.Uint64(key[n+1:])); !ok {
		return boltfile.Damaged("a delivery has no answer")
	}
	c.Pending[string(key[:n])]++
	return nil
}

// Initial puts into a new database what every one has.
func Initial(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketRequests, bucketAnswers, bucketDeliveries} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	state, err := tx.CreateBucketIfNotExists(bucketState)
	if err != nil {
		return err
	}
	return state.Put(keyFormat, boltfile.Seal(keyFormat, binary.LittleEndian.AppendUint32(nil, format)))
}
