package dicom

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/jpeg"
	"github.com/brainseg/brainseg/internal/volume/jpegls"
)

// pixels fills scan with the values of the frames.
func (c *catalogue) pixels(ctx context.Context, scan *volume.Scan, g *ordered) error {
	places := make(map[*object]map[int]int) // of the frames: which slice each is
	var objects []*object
	for z, f := range g.frames {
		if places[f.object] == nil {
			places[f.object] = make(map[int]int)
			objects = append(objects, f.object)
		}
		places[f.object][f.index] = z
	}
	plane := g.size[0] * g.size[1]
	scan.Values = make([]float32, plane*g.size[2])
	for _, o := range objects {
		err := c.decode(ctx, o, func(index int, samples []int32) error {
			z, wanted := places[o][index]
			if !wanted {
				return nil
			}
			f := &o.frames[index]
			into := scan.Values[z*plane:][:plane]
			for i, v := range samples {
				into[i] = f.value(v)
			}
			return nil
		})
		if err != nil {
			return inFile(err, o.file.name)
		}
	}
	c.tell(scan, g)
	return nil
}

// value scales a stored number. MONOCHROME1, where low is bright, is turned
// first.
func (f *frame) value(stored int32) float32 {
	v := float64(stored)
	if f.object.photometric == "MONOCHROME1" {
		v = f.object.highest() - v
	}
	return float32(float64(v*f.slope) + f.inter)
}

// highest is the sum of the lowest and the highest number that can be stored: a
// value taken from it is turned.
func (o *object) highest() float64 {
	if o.signed {
		return -1
	}
	return float64(uint64(1)<<o.bitsStored - 1)
}

// tell fills in what is said of the pixels, and warns of choices.
func (c *catalogue) tell(scan *volume.Scan, g *ordered) {
	first := g.frames[0]
	o := first.object
	sign := "uint"
	if o.signed {
		sign = "int"
	}
	scan.DataType = fmt.Sprintf("%s%d", sign, o.bitsAllocated)
	scan.TransferSyntax = o.syntax.name
	scaling := volume.Scaling{Slope: first.slope, Intercept: first.inter}
	warned := make(map[string]bool)
	warn := func(name, text string) {
		if !warned[name] {
			warned[name] = true
			scan.Warn(name, "%s", text)
		}
	}
	for _, f := range g.frames {
		scaling.Varies = scaling.Varies || f.slope != first.slope || f.inter != first.inter
		if f.object.photometric == "MONOCHROME1" {
			warn("monochrome1-turned", "low values are bright in the file (MONOCHROME1); the order of grey was turned")
		}
		if f.object.photometric == "" {
			warn("photometric-missing", "PhotometricInterpretation is missing; high values were taken as bright")
		}
		for _, n := range f.object.notes {
			warn(n.Name, n.Text)
		}
		if f.object.corrected {
			warn("syntax-corrected", "the data are not encoded as the file's transfer syntax says; they were read as they are")
		}
		if f.object.padding != nil {
			warn("padding", "the file names a padding value; such voxels keep it and are no tissue")
		}
		if f.slope < 0 {
			warn("scaling-negative", "RescaleSlope is negative; values are turned as it says")
		}
		if !f.object.isMR() {
			warn("not-mr", "the images are not from MR by their modality")
		}
	}
	if scaling.Varies {
		scan.Warn("scaling-varies", "RescaleSlope or RescaleIntercept differ between slices; each was scaled by its own")
	}
	if scaling != (volume.Scaling{Slope: 1}) {
		scan.Scaling = &scaling
	}
	if p := o.padding; p != nil && !scaling.Varies {
		a, b := first.value(int32(p[0])), first.value(int32(p[1]))
		scan.Padding = &volume.Range{Low: min(a, b), High: max(a, b)}
	}
}

// bounds of one image.
const maxSide = 1 << 15

// decode reads an object's frames in order and hands their stored numbers to
// use, with sign. The slice is used again for the next frame.
func (c *catalogue) decode(ctx context.Context, o *object, use func(index int, samples []int32) error) error {
	if o.rows > maxSide || o.columns > maxSide || o.rows*o.columns > volume.MaxVoxels {
		return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("an image of %d x %d pixels is too large", o.columns, o.rows), "resample it")
	}
	in, err := o.file.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	again, d, err := parse(in)
	if err != nil {
		return asRefusal(err)
	}
	if again.pixelLength != o.pixelLength || !again.hasPixels {
		return volume.Refuse(volume.CodeDamaged, "the file changed while it was read", "try again")
	}
	if o.pixelLength != undefinedLength {
		if o.syntax.codec != codecNative && int64(o.pixelLength) != o.nativeBytes() && int64(o.pixelLength) != o.nativeBytes()+1 {
			return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its %v is a compressed one, but its pixel data are not in fragments", o.syntax), "export the series again")
		}
		return asRefusal(o.native(d, use))
	}
	return asRefusal(o.encapsulated(ctx, d, use))
}

// nativeBytes is the length of uncompressed pixels.
func (o *object) nativeBytes() int64 {
	return int64(o.rows) * int64(o.columns) * int64(o.frameCount) * int64(o.bitsAllocated/8)
}

// native reads uncompressed pixels.
func (o *object) native(d *stream, use func(index int, samples []int32) error) error {
	need, have := o.nativeBytes(), int64(o.pixelLength)
	frameBytes := o.rows * o.columns * o.bitsAllocated / 8
	if have < need {
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data are too short: a length of %d bytes, and %d are needed", have, need), "copy or export the file again")
	}
	if have-need >= int64(frameBytes) {
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("its pixel data are too long for Rows, Columns and NumberOfFrames: a length of %d bytes, and %d are needed", have, need), "correct the header or export the series again")
	}
	swapped := o.bitsAllocated == 8 && o.syntax.order == binary.BigEndian && o.pixelVR != "OB"
	raw := make([]byte, frameBytes)
	samples := make([]int32, o.rows*o.columns)
	for index := range o.frameCount {
		// A frame of odd length begins in the middle of a word.
		if swapped && o.frameCount > 1 && frameBytes%2 != 0 {
			return volume.Refuse(volume.CodeUnsupportedSyntax, "frames of an odd number of 8-bit pixels in Explicit VR Big Endian are not read", "convert the series to little endian")
		}
		if err := d.full(raw); err != nil {
			return truncatedPixels(err)
		}
		if swapped {
			if err := d.swapPairs(raw); err != nil {
				return truncatedPixels(err)
			}
		}
		o.unpack(samples, raw, o.syntax.order)
		o.store(samples)
		if err := use(index, samples); err != nil {
			return err
		}
	}
	return nil
}

func truncatedPixels(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return volume.Refuse(volume.CodeDamaged, "the file is truncated: it ends within its pixel data", "copy or export the file again")
	}
	return err
}

// swapPairs puts bytes in order that are stored as big-endian words; of an odd
// number the last is followed by its partner.
func (s *stream) swapPairs(raw []byte) error {
	for i := 0; i+1 < len(raw); i += 2 {
		raw[i], raw[i+1] = raw[i+1], raw[i]
	}
	if len(raw)%2 != 0 {
		var last [1]byte
		if err := s.full(last[:]); err != nil {
			return err
		}
		raw[len(raw)-1] = last[0]
	}
	return nil
}

// unpack reads the cells of uncompressed pixels.
func (o *object) unpack(samples []int32, raw []byte, order binary.ByteOrder) {
	switch o.bitsAllocated {
	case 8:
		for i := range samples {
			samples[i] = int32(raw[i])
		}
	case 16:
		for i := range samples {
			samples[i] = int32(order.Uint16(raw[2*i:]))
		}
	case 32:
		for i := range samples {
			samples[i] = int32(order.Uint32(raw[4*i:]))
		}
	}
}

// store takes the stored bits out of each cell, of which the others mean nothing,
// and extends the sign.
func (o *object) store(samples []int32) {
	shift := uint(o.highBit + 1 - o.bitsStored)
	unused := uint(32 - o.bitsStored)
	for i, cell := range samples {
		bits := uint32(cell) >> shift << unused
		if o.signed {
			samples[i] = int32(bits) >> unused
		} else {
			samples[i] = int32(bits >> unused)
		}
	}
}

// encapsulated reads compressed pixels.
func (o *object) encapsulated(ctx context.Context, d *stream, use func(index int, samples []int32) error) error {
	switch o.syntax.codec {
	case codecNone:
		return o.syntax.unsupported("export or convert the series as Explicit VR Little Endian")
	case codecProgram:
		return o.byProgram(ctx, use)
	}
	frames, err := o.fragments(d)
	if err != nil {
		return err
	}
	samples := make([]int32, o.rows*o.columns)
	for index, compressed := range frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := o.frameOf(samples, compressed); err != nil {
			return err
		}
		if err := use(index, samples); err != nil {
			return err
		}
	}
	return nil
}

// frameOf decodes one frame.
func (o *object) frameOf(samples []int32, compressed []byte) error {
	var err error
	switch o.syntax.codec {
	case codecNative: // fragments without compression
		if len(compressed) < len(samples)*o.bitsAllocated/8 {
			return truncatedPixels(io.ErrUnexpectedEOF)
		}
		o.unpack(samples, compressed, o.syntax.order)
	case codecRLE:
		err = o.rle(samples, compressed)
	case codecJPEG:
		err = o.picture(samples, func() (*jpeg.Image, error) { return jpeg.Decode(compressed, len(samples)) })
	case codecJPEGLS:
		err = o.picture(samples, func() (*jpeg.Image, error) { return jpegls.Decode(compressed, len(samples)) })
	}
	if err != nil {
		return err
	}
	o.store(samples)
	return nil
}

// picture takes over a decoded picture, of which the size must be right.
func (o *object) picture(samples []int32, decode func() (*jpeg.Image, error)) error {
	picture, err := decode()
	switch {
	case errors.Is(err, jpeg.ErrUnsupported):
		return o.syntax.unsupported("export or convert the series as Explicit VR Little Endian")
	case err != nil:
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data are damaged or truncated (%v)", err), "copy or export the file again")
	case picture.Width != o.columns || picture.Height != o.rows:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("the compressed picture has %d x %d pixels, and Columns and Rows say %d x %d", picture.Width, picture.Height, o.columns, o.rows), "export the series again")
	case picture.Precision > o.bitsAllocated:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("the compressed picture has %d bits, and BitsAllocated is %d", picture.Precision, o.bitsAllocated), "export the series again")
	}
	shift := o.highBit + 1 - o.bitsStored
	if picture.Precision <= o.bitsStored {
		// The stream holds the stored bits alone.
		for i, v := range picture.Samples {
			samples[i] = int32(v) << shift
		}
		return nil
	}
	for i, v := range picture.Samples {
		samples[i] = int32(v)
	}
	return nil
}
