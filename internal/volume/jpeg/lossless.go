package jpeg

// lossless decodes differences to a prediction from neighbours: selection is the
// predictor, from 1 to 7, and transform the number of low bits left out.
func (d *decoder) lossless(r *bits, table *huffman, selection int, transform uint) error {
	i := d.image
	if selection < 1 || selection > 7 || int(transform) >= i.Precision {
		return damaged("predictor %d", selection)
	}
	if d.interval%i.Width != 0 {
		return damaged("restarts within a row")
	}
	i.Samples = make([]uint16, i.Width*i.Height)
	start := int32(1) << (uint(i.Precision) - transform - 1)
	afterRestart := true
	var above []uint16
	for y := range i.Height {
		restarted, err := d.restart(r, y*i.Width)
		if err != nil {
			return err
		}
		row := i.Samples[y*i.Width:][:i.Width]
		afterRestart = y == 0 || restarted
		for x := range row {
			var prediction int32
			switch {
			case x == 0 && afterRestart:
				prediction = start
			case afterRestart:
				prediction = int32(row[x-1])
			case x == 0:
				prediction = int32(above[0])
			default:
				prediction = predict(selection, int32(row[x-1]), int32(above[x]), int32(above[x-1]))
			}
			length, err := table.decode(r)
			if err != nil {
				return err
			}
			difference := int32(32768)
			if length > 16 {
				return damaged("a difference of %d bits", length)
			} else if length < 16 {
				difference = r.extended(uint(length))
			}
			row[x] = uint16(prediction + difference)
		}
		if r.over() {
			return damaged("it ends in row %d of %d", y+1, i.Height)
		}
		above = row
	}
	if transform > 0 {
		for at := range i.Samples {
			i.Samples[at] <<= transform
		}
	}
	return nil
}

// predict returns the prediction from the sample at the left, the one above and
// the one between them.
func predict(selection int, left, above, corner int32) int32 {
	switch selection {
	case 1:
		return left
	case 2:
		return above
	case 3:
		return corner
	case 4:
		return left + above - corner
	case 5:
		return left + (above-corner)>>1
	case 6:
		return above + (left-corner)>>1
	}
	return (left + above) >> 1
}
