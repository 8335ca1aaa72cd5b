package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/queue/boltfile"
)

// The buckets of the database. Requests and answers are records: a head under
// (number, 0), which also holds a content of at most inlineBytes, and of larger
// ones pieces under (number, 1) and so on. Every value ends in a checksum of its
// key and itself, so that a flipped bit anywhere is found.
var (
	bucketState      = []byte("state")      // names below
	bucketRequests   = []byte("requests")   // record: request, not answered
	bucketAnswers    = []byte("answers")    // record: answer
	bucketDeliveries = []byte("deliveries") // destination, 0, number: delivery
)

var (
	keyFormat = []byte("format") // layout of the database
	keyEpoch  = []byte("epoch")  // starts with undelivered answers
)

const (
	format = 1
	// inlineBytes of content stand beside the head: one page instead of two for
	// what most requests and answers are.
	inlineBytes = 1024
	// pieceBytes is chosen so that two pieces fill a page of 4096 bytes. bbolt
	// rewrites whole leaves of at least two keys, so larger values would be
	// written again with every neighbour.
	pieceBytes = 2000
)

var errRecord = errors.New("a record is damaged")

func recordKey(number uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, 12), number), part)
}

func deliveryKey(destination string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(destination), 0), number)
}

// requestHead is what is known of a request without its content.
type requestHead struct {
	crashes  uint8
	accepted int64 // wall clock, nanoseconds since 1970
	document uint32
	image    uint32
	digest   [32]byte
	id       string
	way      string
	client   string
}

func (h requestHead) encode() []byte {
	b := []byte{h.crashes}
	b = binary.LittleEndian.AppendUint64(b, uint64(h.accepted))
	b = binary.LittleEndian.AppendUint32(b, h.document)
	b = binary.LittleEndian.AppendUint32(b, h.image)
	b = append(b, h.digest[:]...)
	for _, s := range []string{h.id, h.way, h.client} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func (h *requestHead) decode(b []byte) (rest []byte, err error) {
	d := decoder{b: b}
	h.crashes = d.take(1)[0]
	h.accepted = int64(d.uint64())
	h.document, h.image = d.uint32(), d.uint32()
	copy(h.digest[:], d.take(32))
	h.id, h.way, h.client = d.string(), d.string(), d.string()
	return d.rest()
}

// answerHead is what is known of an answer without its document.
type answerHead struct {
	finished int64  // the queue's own clock, nanoseconds
	request  uint64 // its number
	document uint32
	digest   [32]byte // of the request
	id       string
}

func (h answerHead) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(h.finished))
	b = binary.LittleEndian.AppendUint64(b, h.request)
	b = binary.LittleEndian.AppendUint32(b, h.document)
	b = append(b, h.digest[:]...)
	return append(binary.AppendUvarint(b, uint64(len(h.id))), h.id...)
}

func (h *answerHead) decode(b []byte) (rest []byte, err error) {
	d := decoder{b: b}
	h.finished, h.request = int64(d.uint64()), d.uint64()
	h.document = d.uint32()
	copy(h.digest[:], d.take(32))
	h.id = d.string()
	return d.rest()
}

// decoder takes a value apart. Beyond its end it gives zeroes and remembers.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.short = true
		d.b = nil
		return make([]byte, min(max(n, 0), 32))
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }
func (d *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }

func (d *decoder) string() string {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		d.short = true
		d.b = nil
		return ""
	}
	d.b = d.b[size:]
	return string(d.take(int(n)))
}

func (d *decoder) rest() ([]byte, error) {
	if d.short {
		return nil, errRecord
	}
	return d.b, nil
}

func total(contents [][]byte) (n int) {
	for _, c := range contents {
		n += len(c)
	}
	return n
}

// putRecord stores a head with its contents.
func putRecord(b *bolt.Bucket, number uint64, head []byte, contents ...[]byte) error {
	b.FillPercent = 1 // numbers grow, so pages are filled for good
	key := recordKey(number, 0)
	if total(contents) <= inlineBytes {
		for _, c := range contents {
			head = append(head, c...)
		}
		return b.Put(key, boltfile.Seal(key, head))
	}
	if err := b.Put(key, boltfile.Seal(key, head)); err != nil {
		return err
	}
	part := uint32(0)
	for _, c := range contents {
		for ; len(c) > 0; c = c[min(pieceBytes, len(c)):] {
			part++
			piece := append(make([]byte, 0, pieceBytes+4), c[:min(pieceBytes, len(c))]...)
			key := recordKey(number, part)
			if err := b.Put(key, boltfile.Seal(key, piece)); err != nil {
				return err
			}
		}
	}
	return nil
}

// getHead returns the payload of a head, nil where there is no such record. It is
// valid until the transaction ends.
func getHead(b *bolt.Bucket, number uint64) ([]byte, error) {
	key := recordKey(number, 0)
	sealed := b.Get(key)
	if sealed == nil {
		return nil, nil
	}
	return boltfile.Unseal(key, sealed)
}

// getContents returns copies of the contents of a record, whose head left rest.
func getContents(b *bolt.Bucket, number uint64, rest []byte, lengths ...uint32) ([][]byte, error) {
	sum := uint64(0)
	for _, n := range lengths {
		sum += uint64(n)
	}
	contents := make([][]byte, 0, len(lengths))
	if sum <= inlineBytes {
		if uint64(len(rest)) != sum {
			return nil, errRecord
		}
		for _, n := range lengths {
			contents = append(contents, append([]byte(nil), rest[:n]...))
			rest = rest[n:]
		}
		return contents, nil
	}
	part := uint32(0)
	for _, n := range lengths {
		var c []byte
		for pieces := parts(n); pieces > 0; pieces-- {
			part++
			key := recordKey(number, part)
			piece, err := boltfile.Unseal(key, b.Get(key))
			if err != nil {
				return nil, err
			}
			if c == nil {
				c = make([]byte, 0, n)
			}
			c = append(c, piece...)
		}
		if uint64(len(c)) != uint64(n) {
			return nil, errRecord
		}
		contents = append(contents, c)
	}
	return contents, nil
}

func parts(n uint32) uint32 { return uint32((uint64(n) + pieceBytes - 1) / pieceBytes) }

// deleteRecord removes a record with contents of the given lengths.
func deleteRecord(b *bolt.Bucket, number uint64, lengths ...uint32) error {
	last, sum := uint32(0), uint64(0)
	for _, n := range lengths {
		last += parts(n)
		sum += uint64(n)
	}
	if sum <= inlineBytes {
		last = 0
	}
	for part := uint32(0); part <= last; part++ {
		if err := b.Delete(recordKey(number, part)); err != nil {
			return fmt.Errorf("delete a record: %w", err)
		}
	}
	return nil
}

// delivery is the value of a delivery: its next attempt is
// tries + (epoch now - epoch) + 1.
type delivery struct {
	epoch uint32
	tries uint32
}

func (d delivery) encode() []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, d.epoch), d.tries)
}

func (d *delivery) decode(b []byte) error {
	in := decoder{b: b}
	d.epoch, d.tries = in.uint32(), in.uint32()
	_, err := in.rest()
	return err
}
