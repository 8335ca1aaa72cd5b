package queue

import (
	"encoding/binary"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// The buckets of the database. Requests and answers are records of boltfile. Every
// value ends in a checksum of its key and itself, so that a flipped bit anywhere is
// found.
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

const format = 1

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
		return nil, boltfile.ErrRecord
	}
	return d.b, nil
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
