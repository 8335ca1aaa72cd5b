package jpegls

// context is the statistics of one kind of neighbourhood; T.87 names them A, B,
// C and N.
type context struct{ a, b, c, n int }

// decoder decodes line by line.
type decoder struct {
	p                     parameters
	near, width           int
	span, spanBits, limit int // RANGE, qbpp and LIMIT
	contexts              [365]context
	runs                  [2]context // b counts the negative errors (Nn)
	runIndex              int
	// The lines have a sample more at each end.
	previous, current []int
	in                *bitReader
}

// runOrder is J of T.87 A.2.1.
var runOrder = [32]int{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func newDecoder(p parameters, near, width int, b []byte) *decoder {
	d := &decoder{p: p, near: near, width: width, previous: make([]int, width+2), current: make([]int, width+2), in: &bitReader{b: b}}
	d.span = (p.maximum+2*near)/(2*near+1) + 1
	d.spanBits = ceilLog2(d.span)
	depth := max(2, ceilLog2(p.maximum+1))
	d.limit = 2 * (depth + max(8, depth))
	first := context{a: max(2, (d.span+32)/64), n: 1}
	for i := range d.contexts {
		d.contexts[i] = first
	}
	d.runs = [2]context{first, first}
	return d
}

// line decodes the next line into d.current.
func (d *decoder) line() error {
	d.previous, d.current = d.current, d.previous
	d.current[0] = d.previous[1]
	d.previous[d.width+1] = d.previous[d.width]
	for x := 1; x <= d.width; {
		left, above, corner, right := d.current[x-1], d.previous[x], d.previous[x-1], d.previous[x+1]
		q := 81*d.quantised(right-above) + 9*d.quantised(above-corner) + d.quantised(corner-left)
		if q == 0 {
			next, err := d.run(x)
			if err != nil {
				return err
			}
			x = next
			continue
		}
		d.current[x] = d.regular(q, left, above, corner)
		x++
	}
	return nil
}

// quantised is the region of a gradient, from -4 to 4.
func (d *decoder) quantised(gradient int) int {
	size, sign := gradient, 1
	if gradient < 0 {
		size, sign = -gradient, -1
	}
	switch {
	case size <= d.near:
		return 0
	case size < d.p.t1:
		return sign
	case size < d.p.t2:
		return 2 * sign
	case size < d.p.t3:
		return 3 * sign
	}
	return 4 * sign
}

// regular decodes a sample in the context q.
func (d *decoder) regular(q, left, above, corner int) int {
	sign := 1
	if q < 0 {
		q, sign = -q, -1
	}
	c := &d.contexts[q]
	prediction := left + above - corner
	if corner >= max(left, above) {
		prediction = min(left, above)
	} else if corner <= min(left, above) {
		prediction = max(left, above)
	}
	prediction = min(max(prediction+sign*c.c, 0), d.p.maximum)
	k := order(c.n, c.a)
	code := d.in.golomb(k, d.limit, d.spanBits)
	e := code >> 1
	if code&1 != 0 {
		e = -e - 1
	}
	if d.near == 0 && k == 0 && 2*c.b <= -c.n {
		e = -e - 1
	}
	c.update(e, d.near, d.p.reset)
	return d.reconstructed(prediction, sign*e)
}

// order is the Golomb parameter: the smallest k with n * 2^k >= a.
func order(n, a int) uint {
	k := uint(0)
	for n<<k < a && k < 24 {
		k++
	}
	return k
}

// update takes an error into the statistics: T.87 A.6.
func (c *context) update(e, near, reset int) {
	c.b += e * (2*near + 1)
	if e < 0 {
		e = -e
	}
	c.a += e
	if c.n == reset {
		c.a >>= 1
		c.b >>= 1
		c.n >>= 1
	}
	c.n++
	if c.b <= -c.n {
		c.b = max(c.b+c.n, -c.n+1)
		c.c = max(c.c-1, -128)
	} else if c.b > 0 {
		c.b = min(c.b-c.n, 0)
		c.c = min(c.c+1, 127)
	}
}

// reconstructed adds an error to a prediction, within the range of samples.
func (d *decoder) reconstructed(prediction, e int) int {
	step := 2*d.near + 1
	v := prediction + e*step
	if v < -d.near {
		v += d.span * step
	} else if v > d.p.maximum+d.near {
		v -= d.span * step
	}
	return min(max(v, 0), d.p.maximum)
}

// run decodes a run of equal samples from x on and the sample that ends it. It
// returns the x after it.
func (d *decoder) run(x int) (int, error) {
	left := d.current[x-1]
	for d.in.bit() == 1 {
		n := 1 << runOrder[d.runIndex]
		whole := n <= d.width+1-x
		for range min(n, d.width+1-x) {
			d.current[x] = left
			x++
		}
		if whole && d.runIndex < 31 {
			d.runIndex++
		}
		if x > d.width {
			return x, nil
		}
	}
	n := d.in.bits(uint(runOrder[d.runIndex]))
	if n > d.width-x {
		return 0, damaged("a run beyond the end of its row")
	}
	for range n {
		d.current[x] = left
		x++
	}
	d.current[x] = d.interruption(left, d.previous[x])
	if d.runIndex > 0 {
		d.runIndex--
	}
	return x + 1, nil
}

// interruption decodes the sample that ends a run: T.87 A.7.2.
func (d *decoder) interruption(left, above int) int {
	kind, sign, prediction := 0, 1, above
	if difference := left - above; difference <= d.near && difference >= -d.near {
		kind, prediction = 1, left
	} else if difference > 0 {
		sign = -1
	}
	c := &d.runs[kind]
	k := order(c.n, c.a+kind*(c.n>>1))
	code := d.in.golomb(k, d.limit-runOrder[d.runIndex]-1, d.spanBits)
	mapped := code + kind
	e := (mapped + 1) >> 1
	if (mapped&1 != 0) != (k == 0 && 2*c.b < c.n) {
		e = -e
	}
	if e < 0 {
		c.b++
	}
	c.a += (code + 1 - kind) >> 1
	if c.n == d.p.reset {
		c.a >>= 1
		c.n >>= 1
		c.b >>= 1
	}
	c.n++
	return d.reconstructed(prediction, sign*e)
}

// bitReader reads coded bits. After a byte FF, the first bit of the next one is
// stuffed; where it is set, a marker begins and the bits end.
type bitReader struct {
	b     []byte
	held  uint64
	n     uint
	stuff bool // the byte before was FF
	extra int  // zero bits made up after the end
}

func (r *bitReader) fill() {
	for r.n <= 48 {
		width := uint(8)
		if r.stuff {
			width = 7
		}
		v := byte(0)
		switch {
		case len(r.b) == 0, r.stuff && r.b[0] >= 0x80, r.b[0] == 0xff && len(r.b) > 1 && r.b[1] >= 0x80:
			r.b = nil
			r.extra += int(width)
			r.stuff = false
		default:
			v, r.b = r.b[0], r.b[1:]
			r.stuff = v == 0xff
		}
		r.held, r.n = r.held<<width|uint64(v), r.n+width
	}
}

func (r *bitReader) over() bool { return r.extra > 0 && uint(r.extra) > r.n }

func (r *bitReader) bit() int { return r.bits(1) }

// bits reads n bits, up to 32.
func (r *bitReader) bits(n uint) int {
	if r.n < n {
		r.fill()
	}
	r.n -= n
	return int(r.held >> r.n & (1<<n - 1))
}

// golomb reads a number: its high part as that many zeros and a one, its k low
// bits as they are; beyond the limit as a whole.
func (r *bitReader) golomb(k uint, limit, spanBits int) int {
	high := 0
	for high < limit && r.bit() == 0 {
		high++
	}
	if high < limit-spanBits-1 {
		return high<<k | r.bits(k)
	}
	return r.bits(uint(spanBits)) + 1
}
