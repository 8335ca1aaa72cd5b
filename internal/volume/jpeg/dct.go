package jpeg

// zigzag is the place of each coefficient in the block.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// blocks decodes blocks of 8 x 8 pixels by the discrete cosine transform.
func (d *decoder) blocks(r *bits, dc, ac *huffman, quantum *[64]uint16) error {
	i := d.image
	i.Samples = make([]uint16, i.Width*i.Height)
	across, down := (i.Width+7)/8, (i.Height+7)/8
	last := int32(0)
	for n := range across * down {
		restarted, err := d.restart(r, n)
		if err != nil {
			return err
		}
		if restarted {
			last = 0
		}
		var block [64]int32
		if err := coefficients(r, dc, ac, quantum, &last, &block); err != nil {
			return err
		}
		if r.over() {
			return damaged("it ends in block %d of %d", n+1, across*down)
		}
		i.put(&block, n%across*8, n/across*8)
	}
	return nil
}

// coefficients reads a block's coefficients, multiplied by their quanta.
func coefficients(r *bits, dc, ac *huffman, quantum *[64]uint16, last *int32, block *[64]int32) error {
	length, err := dc.decode(r)
	if err != nil {
		return err
	}
	if length > 15 {
		return damaged("a coefficient of %d bits", length)
	}
	*last += r.extended(uint(length))
	block[0] = bounded(*last, quantum[0])
	for k := 1; k < 64; k++ {
		code, err := ac.decode(r)
		if err != nil {
			return err
		}
		zeros, length := int(code>>4), uint(code&15)
		if length == 0 {
			if zeros < 15 {
				break
			}
			k += 15
			continue
		}
		if k += zeros; k > 63 {
			return damaged("more than 64 coefficients")
		}
		block[zigzag[k]] = bounded(r.extended(length), quantum[k])
	}
	return nil
}

// bounded multiplies, and keeps the result where the transform cannot overflow.
func bounded(v int32, quantum uint16) int32 {
	return int32(min(max(int64(v)*int64(quantum), -1<<20), 1<<20))
}

// cosines are cos(k * pi / 16) / 2 for k from 1 to 7, and 1 / sqrt(8) for 0, with
// 20 bits after the point.
var cosines = [8]int64{370728, 514214, 484379, 435930, 370728, 291279, 200636, 102284}

// basis[u][x] is the value of cosine u at x.
var basis = func() (b [8][8]int64) {
	for u := range 8 {
		for x := range 8 {
			// The angle in sixteenths of pi, brought to the first quarter.
			angle, sign := (2*x+1)*u%32, int64(1)
			if angle > 16 {
				angle = 32 - angle
			}
			if angle > 8 {
				angle, sign = 16-angle, -1
			}
			switch {
			case u == 0:
				b[u][x] = cosines[0]
			case angle == 8:
				b[u][x] = 0
			default:
				b[u][x] = sign * cosines[angle]
			}
		}
	}
	return b
}()

// put transforms a block and writes what of it lies in the picture.
func (i *Image) put(block *[64]int32, left, top int) {
	var rows [64]int64 // transformed along x, with 20 bits after the point
	for v := range 8 {
		for x := range 8 {
			sum := int64(0)
			for u := range 8 {
				sum += int64(block[8*v+u]) * basis[u][x]
			}
			rows[8*v+x] = (sum + 1<<9) >> 10 // 10 bits are left, so that the next product fits
		}
	}
	middle, highest := int64(1)<<(i.Precision-1), int64(1)<<i.Precision-1
	for y := range min(8, i.Height-top) {
		for x := range min(8, i.Width-left) {
			sum := int64(0)
			for v := range 8 {
				sum += rows[8*v+x] * basis[v][y]
			}
			value := (sum+1<<29)>>30 + middle
			i.Samples[(top+y)*i.Width+left+x] = uint16(min(max(value, 0), highest))
		}
	}
}
