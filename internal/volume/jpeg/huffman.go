package jpeg

// bits reads the coded bits of a scan. A byte FF is followed by a stuffed 00, or
// by a marker, at which the bits end.
type bits struct {
	b     []byte
	held  uint64 // the lowest n bits are not yet read
	n     uint
	extra int // zero bits made up after the end
}

// fill makes at least 32 bits ready.
func (r *bits) fill() {
	for r.n <= 32 {
		switch {
		case len(r.b) > 1 && r.b[0] == 0xff && r.b[1] == 0:
			r.held, r.b = r.held<<8|0xff, r.b[2:]
		case len(r.b) > 0 && r.b[0] != 0xff:
			r.held, r.b = r.held<<8|uint64(r.b[0]), r.b[1:]
		default:
			r.held <<= 8
			r.extra += 8
		}
		r.n += 8
	}
}

// over tells whether more bits were read than there are.
func (r *bits) over() bool { return r.extra > 0 && uint(r.extra) > r.n }

// peek returns the next n bits, up to 16.
func (r *bits) peek(n uint) uint32 {
	if r.n < n {
		r.fill()
	}
	return uint32(r.held>>(r.n-n)) & (1<<n - 1)
}

// take reads n bits, up to 16.
func (r *bits) take(n uint) uint32 {
	v := r.peek(n)
	r.n -= n
	return v
}

// restart goes on behind the next restart marker.
func (r *bits) restart() error {
	r.held, r.n, r.extra = 0, 0, 0
	for len(r.b) >= 2 {
		switch m := r.b[1]; {
		case r.b[0] == 0xff && m >= markerRST && m < markerSOI:
			r.b = r.b[2:]
			return nil
		case r.b[0] == 0xff && m != 0 && m != 0xff:
			return damaged("a restart marker is missing")
		}
		r.b = r.b[1:]
	}
	return damaged("it ends before its last pixel")
}

// huffman is a table of codes.
type huffman struct {
	quick [256]uint16 // by the next 8 bits: length<<8 | value; 0 for longer codes
	last  [17]int32   // by length: the largest code, -1 for none
	shift [17]int32   // by length: what leads from a code to its value's number
	value []byte
}

// newHuffman builds a table of the number of codes of each length, and of their
// values.
func newHuffman(counts [16]byte, values []byte) (*huffman, error) {
	h := &huffman{value: append([]byte(nil), values...)}
	code, k := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		n := int32(counts[length-1])
		h.shift[length], h.last[length] = k-code, code+n-1
		if n == 0 {
			h.last[length] = -1
		}
		if code+n > 1<<length {
			return nil, damaged("a Huffman table has more codes than fit")
		}
		for range n {
			if length <= 8 {
				for fill := range int32(1) << (8 - length) {
					h.quick[code<<(8-length)|fill] = uint16(length)<<8 | uint16(values[k])
				}
			}
			code++
			k++
		}
		code <<= 1
	}
	return h, nil
}

// decode reads one value.
func (h *huffman) decode(r *bits) (byte, error) {
	if q := h.quick[r.peek(8)]; q != 0 {
		r.n -= uint(q >> 8)
		return byte(q), nil
	}
	ahead := int32(r.peek(16))
	for length := 1; length <= 16; length++ {
		if code := ahead >> (16 - length); code <= h.last[length] {
			r.n -= uint(length)
			return h.value[code+h.shift[length]], nil
		}
	}
	return 0, damaged("a code that is in no table")
}

// extended reads n bits and extends them to a signed number, as T.81 F.2.2.1.
func (r *bits) extended(n uint) int32 {
	v := int32(r.take(n))
	if n > 0 && v < 1<<(n-1) {
		v += -1<<n + 1
	}
	return v
}
