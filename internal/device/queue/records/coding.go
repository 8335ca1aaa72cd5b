package records

import (
	"encoding/binary"
	"time"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

func deliveryKey(destination string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(destination), 0), number)
}

func (h *Request) encode() []byte {
	b := []byte{h.Crashes}
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Accepted.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, h.Document)
	b = binary.LittleEndian.AppendUint32(b, h.Image)
	b = append(b, h.Digest[:]...)
	for _, s := range []string{h.ID, h.Way, h.Client} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func (h *Request) decode(b []byte) (rest []byte, err error) {
	d := decoder{b: b}
	h.Crashes = d.take(1)[0]
	h.Accepted = time.Unix(0, int64(d.uint64()))
	h.Document, h.Image = d.uint32(), d.uint32()
	copy(h.Digest[:], d.take(32))
	h.ID, h.Way, h.Client = d.string(), d.string(), d.string()
	return d.rest()
}

func (h *Answer) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(h.Finished))
	b = binary.LittleEndian.AppendUint64(b, h.Request)
	b = binary.LittleEndian.AppendUint32(b, h.Document)
	b = append(b, h.Digest[:]...)
	return append(binary.AppendUvarint(b, uint64(len(h.ID))), h.ID...)
}

func (h *Answer) decode(b []byte) (rest []byte, err error) {
	d := decoder{b: b}
	h.Finished, h.Request = int64(d.uint64()), d.uint64()
	h.Document = d.uint32()
	copy(h.Digest[:], d.take(32))
	h.ID = d.string()
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
