package queue

import (
	"encoding/binary"
	"io"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// contents is what a file holds, as far as it is kept in memory.
type contents struct {
	requests    []storedRequest // in order of their numbers
	answered    map[idKey]uint64
	answers     []uint64 // numbers, growing
	answerBytes int64
	newest      int64 // of the queue's clock
	pending     map[string]int
	lastRequest uint64
	lastAnswer  uint64
	epoch       uint32
}

type storedRequest struct {
	number uint64
	requestHead
}

// load checks a file and takes from it what is kept in memory.
func load(file io.ReaderAt, size int64) (contents, error) {
	found := contents{answered: map[idKey]uint64{}, pending: map[string]int{}}
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
				found.epoch = binary.LittleEndian.Uint32(value)
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
		return contents{}, err
	}
	for _, name := range [][]byte{bucketState, bucketRequests, bucketAnswers, bucketDeliveries} {
		if _, ok := info.Sequences[string(name)]; !ok {
			return contents{}, boltfile.Damaged("the bucket %s is missing", name)
		}
	}
	if version != format {
		return contents{}, boltfile.Damaged("its format is %d, and this program knows %d", version, format)
	}
	found.lastRequest = max(found.lastRequest, info.Sequences[string(bucketRequests)])
	found.lastAnswer = max(found.lastAnswer, info.Sequences[string(bucketAnswers)])
	return found, nil
}

func (c *contents) addRequest(number uint64, value []byte) error {
	r := storedRequest{number: number}
	if _, err := r.decode(value); err != nil {
		return boltfile.Damaged("a request cannot be read")
	}
	c.requests = append(c.requests, r)
	c.lastRequest = number
	return nil
}

func (c *contents) addAnswer(number uint64, value []byte) error {
	var h answerHead
	if _, err := h.decode(value); err != nil {
		return boltfile.Damaged("an answer cannot be read")
	}
	c.answered[keyOf(h.id)] = number
	c.answers = append(c.answers, number)
	c.answerBytes += int64(h.document)
	c.newest = max(c.newest, h.finished)
	c.lastAnswer = number
	return nil
}

// addDelivery relies on answers coming before deliveries.
func (c *contents) addDelivery(key, value []byte) error {
	var d delivery
	n := len(key) - 9
	if n < 1 || key[n] != 0 || d.decode(value) != nil {
		return boltfile.Damaged("a delivery cannot be read")
	}
	if _, ok := slices.BinarySearch(c.answers, binary.BigEndian.Uint64(key[n+1:])); !ok {
		return boltfile.Damaged("a delivery has no answer")
	}
	c.pending[string(key[:n])]++
	return nil
}

// initial puts into a new file what every file has.
func initial(tx *bolt.Tx) error {
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
