// Package pixels decodes the pixels of DICOM objects: uncompressed, in fragments,
// RLE, the JPEG processes of package jpeg, JPEG-LS, and JPEG 2000 by another program
// where one is installed.
//
// It knows neither series nor places. Numbers come as they are stored, with sign,
// without the bits that mean nothing. Package dicom calls it.
package pixels

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/jpeg"
	"github.com/brainseg/brainseg/internal/volume/jpegls"
)

// maxCompressed bounds the bytes of one object's compressed pixels.
const maxCompressed = 256 << 20

// Format is how an object's pixels are stored.
type Format struct {
	Syntax                             dataset.Syntax
	Rows, Columns, FrameCount          int
	BitsAllocated, BitsStored, HighBit int
	Signed                             bool
	// Offsets is the extended offset table, if there is one.
	Offsets []uint64
	// HasPixels tells that there is pixel data, of this VR and length.
	HasPixels bool
	VR        string
	Length    uint32
	FileSize  int64
	// Notes are warnings for the case that the object is read.
	Notes []volume.Warning
}

// Note takes a note.
func (o *Format) Note(name, text string) {
	o.Notes = append(o.Notes, volume.Warning{Name: name, Text: text})
}

// Check refuses what is not read.
func (o *Format) Check() *volume.Refusal {
	cure := "give the original grey images"
	switch {
	case o.Rows < 1 || o.Columns < 1:
		return volume.Refuse(volume.CodeBadHeader, "Rows (0028,0010) or Columns (0028,0011) is missing or 0", "export the series again")
	case o.Rows > maxSide || o.Columns > maxSide: // before they are multiplied
		return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("an image of %d x %d pixels is too large", o.Columns, o.Rows), "resample it")
	case o.Length != dataset.UndefinedLength && !o.Syntax.Deflated && min(o.NativeBytes(), int64(o.Length)) > o.FileSize:
		return volume.Refuse(volume.CodeDamaged, "the file is truncated: it is too short for its pixel data", "copy or export the file again")
	case o.BitsAllocated != 8 && o.BitsAllocated != 16 && o.BitsAllocated != 32:
		return volume.Refuse(volume.CodeUnsupportedDataType, fmt.Sprintf("BitsAllocated (0028,0100) is %d, and 8, 16 and 32 are read", o.BitsAllocated), cure)
	case o.BitsStored < 1 || o.BitsStored > o.BitsAllocated || o.HighBit < o.BitsStored-1 || o.HighBit >= o.BitsAllocated:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("BitsStored %d and HighBit %d do not fit BitsAllocated %d", o.BitsStored, o.HighBit, o.BitsAllocated), "correct the header or export the series again")
	}
	return nil
}

// maxSide bounds one image.
const maxSide = 1 << 15

// buffers are for one frame at a time, and kept for the next object.
type buffers struct {
	raw     []byte
	samples []int32
}

// of returns buffers of these lengths.
func (b *buffers) of(bytes, samples int) ([]byte, []int32) {
	if cap(b.raw) < bytes {
		b.raw = make([]byte, bytes)
	}
	if cap(b.samples) < samples {
		b.samples = make([]int32, samples)
	}
	return b.raw[:bytes], b.samples[:samples]
}

// Decoder decodes the pixels of objects, one after the other.
type Decoder struct {
	// Parse reads a file up to its pixels.
	Parse   func(in *files.Input) (*Format, *dataset.Stream, error)
	buffers buffers
}

// Decode reads the frames of a file in order and hands their stored numbers to
// use, with sign. The slice is used again for the next frame. f is what was parsed of the file; it
// takes notes.
func (d *Decoder) Decode(ctx context.Context, file *files.File, f *Format, use func(index int, samples []int32) error) error {
	if f.Rows > maxSide || f.Columns > maxSide || f.Rows*f.Columns > volume.MaxVoxels {
		return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("an image of %d x %d pixels is too large", f.Columns, f.Rows), "resample it")
	}
	in, err := file.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	again, s, err := d.Parse(in)
	if err != nil {
		return files.Explain(err)
	}
	if again.Length != f.Length || !again.HasPixels {
		return volume.Refuse(volume.CodeDamaged, "the file changed while it was read", "try again")
	}
	if f.Length == dataset.UndefinedLength {
		return files.Explain(d.encapsulated(ctx, file, f, s, use))
	}
	if f.Syntax.Codec != dataset.CodecNative && int64(f.Length) != f.NativeBytes() && int64(f.Length) != f.NativeBytes()+1 {
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its %v is a compressed one, but its pixel data are not in fragments", f.Syntax), "export the series again")
	}
	err = d.native(f, s, use)
	if err == nil && f.Syntax.Deflated {
		_, err = io.Copy(io.Discard, s.Rest()) // to see that the file is whole
	}
	return files.Explain(err)
}

// NativeBytes is the length of uncompressed pixels.
func (o *Format) NativeBytes() int64 {
	return int64(o.Rows) * int64(o.Columns) * int64(o.FrameCount) * int64(o.BitsAllocated/8)
}

// native reads uncompressed pixels.
func (d *Decoder) native(o *Format, s *dataset.Stream, use func(index int, samples []int32) error) error {
	need, have := o.NativeBytes(), int64(o.Length)
	frameBytes := o.Rows * o.Columns * o.BitsAllocated / 8
	if have < need {
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data are too short: a length of %d bytes, and %d are needed", have, need), "copy or export the file again")
	}
	if have-need >= int64(frameBytes) {
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("its pixel data are too long for Rows, Columns and NumberOfFrames: a length of %d bytes, and %d are needed", have, need), "correct the header or export the series again")
	}
	swapped := o.BitsAllocated == 8 && o.Syntax.Order == binary.BigEndian && o.VR != "OB"
	raw, samples := d.buffers.of(frameBytes, o.Rows*o.Columns)
	for index := range o.FrameCount {
		// A frame of odd length begins in the middle of a word.
		if swapped && o.FrameCount > 1 && frameBytes%2 != 0 {
			return volume.Refuse(volume.CodeUnsupportedSyntax, "frames of an odd number of 8-bit pixels in Explicit VR Big Endian are not read", "convert the series to little endian")
		}
		if err := s.Full(raw); err != nil {
			return truncatedPixels(err)
		}
		if swapped {
			if err := swapPairs(s, raw); err != nil {
				return truncatedPixels(err)
			}
		}
		o.unpack(samples, raw, o.Syntax.Order)
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
func swapPairs(s *dataset.Stream, raw []byte) error {
	for i := 0; i+1 < len(raw); i += 2 {
		raw[i], raw[i+1] = raw[i+1], raw[i]
	}
	if len(raw)%2 != 0 {
		var last [1]byte
		if err := s.Full(last[:]); err != nil {
			return err
		}
		raw[len(raw)-1] = last[0]
	}
	return nil
}

// unpack reads the cells of uncompressed pixels.
func (o *Format) unpack(samples []int32, raw []byte, order binary.ByteOrder) {
	switch o.BitsAllocated {
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
func (o *Format) store(samples []int32) {
	shift := uint(o.HighBit + 1 - o.BitsStored)
	unused := uint(32 - o.BitsStored)
	for i, cell := range samples {
		bits := uint32(cell) >> shift << unused
		if o.Signed {
			samples[i] = int32(bits) >> unused
		} else {
			samples[i] = int32(bits >> unused)
		}
	}
}

// encapsulated reads compressed pixels.
func (d *Decoder) encapsulated(ctx context.Context, file *files.File, o *Format, s *dataset.Stream, use func(index int, samples []int32) error) error {
	switch o.Syntax.Codec {
	case dataset.CodecNone:
		return o.Syntax.Unsupported("export or convert the series as Explicit VR Little Endian")
	case dataset.CodecProgram:
		return d.byProgram(ctx, file, o, use)
	}
	if o.Syntax.Codec == dataset.CodecNative && o.Syntax.UID != dataset.UIDUncompressedFragments {
		return volume.Refuse(volume.CodeUnsupportedSyntax, fmt.Sprintf("its %v is an uncompressed one, but its pixel data are in fragments, as compressed ones are", o.Syntax), "export the series again")
	}
	frames, err := o.fragments(s)
	if err != nil {
		return err
	}
	_, samples := d.buffers.of(0, o.Rows*o.Columns)
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
func (o *Format) frameOf(samples []int32, compressed []byte) error {
	var err error
	switch o.Syntax.Codec {
	case dataset.CodecNative: // fragments without compression
		if len(compressed) < len(samples)*o.BitsAllocated/8 {
			return truncatedPixels(io.ErrUnexpectedEOF)
		}
		o.unpack(samples, compressed, o.Syntax.Order)
	case dataset.CodecRLE:
		err = o.rle(samples, compressed)
	case dataset.CodecJPEG:
		err = o.picture(samples, func() (*jpeg.Image, error) { return jpeg.Decode(compressed, len(samples)) })
	case dataset.CodecJPEGLS:
		err = o.picture(samples, func() (*jpeg.Image, error) { return jpegls.Decode(compressed, len(samples)) })
	}
	if err != nil {
		return err
	}
	o.store(samples)
	return nil
}

// picture takes over a decoded picture, of which the size must be right.
func (o *Format) picture(samples []int32, decode func() (*jpeg.Image, error)) error {
	picture, err := decode()
	switch {
	case errors.Is(err, jpeg.ErrUnsupported):
		return o.Syntax.Unsupported("export or convert the series as Explicit VR Little Endian")
	case err != nil:
		return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data are damaged or truncated (%v)", err), "copy or export the file again")
	case picture.Width != o.Columns || picture.Height != o.Rows:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("the compressed picture has %d x %d pixels, and Columns and Rows say %d x %d", picture.Width, picture.Height, o.Columns, o.Rows), "export the series again")
	case picture.Precision > o.BitsAllocated:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("the compressed picture has %d bits, and BitsAllocated is %d", picture.Precision, o.BitsAllocated), "export the series again")
	}
	shift := o.HighBit + 1 - o.BitsStored
	if picture.Precision <= o.BitsStored {
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
