// Package nifti reads volumes from NIfTI-1 files, .nii and .nii.gz, with the
// axes turned to right, anterior, superior, and cuts slices out of them.
//
// It writes no files, reads no pairs of .hdr and .img, and resamples nothing:
// axes are only swapped and flipped. Package modelcheck calls it for labelled
// volumes.
//
// The format is that of nifti1.h, https://nifti.nimh.nih.gov/nifti-1.
package nifti

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Errors by which a caller decides.
var (
	// ErrFormat: not a NIfTI-1 file, or one that is damaged or cut short.
	ErrFormat = errors.New("not a NIfTI-1 file that can be read")
	// ErrUnsupported: colours, complex numbers, more than three axes.
	ErrUnsupported = errors.New("this kind of NIfTI file is not supported")
	// ErrTooLarge: more voxels than MaxVoxels.
	ErrTooLarge = errors.New("the volume has too many voxels")
)

// MaxVoxels is the largest number of voxels read: 512 x 512 x 512.
const MaxVoxels = 512 * 512 * 512

// Volume is an image of three axes, R-A-S: x grows to the right, y to the front,
// z upwards.
type Volume struct {
	// Size of the axes in voxels.
	Size [3]int
	// Values with x running fastest, scaled by the file's slope and intercept.
	Values []float32
	// Bytes tells that the file holds unsigned bytes without scaling.
	Bytes bool
}

// The header's fields that are used, by their offset.
const (
	headerBytes    = 348
	offsetDim      = 40
	offsetDatatype = 70
	offsetPixdim   = 76
	offsetVox      = 108
	offsetSlope    = 112
	offsetInter    = 116
	offsetQform    = 252
	offsetSform    = 254
	offsetQuatern  = 256
	offsetSrow     = 280
	offsetMagic    = 344
)

// maxVoxOffset bounds the extensions between header and voxels.
const maxVoxOffset = 1 << 20

// ReadFile reads the volume in the file at path.
func ReadFile(path string) (*Volume, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	v, err := Read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return v, nil
}

// Read reads a volume, compressed by gzip or not. It takes memory for the voxels
// as they come, not as the header says.
func Read(r io.Reader) (*Volume, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		buffered = bufio.NewReaderSize(unzipped, 64<<10)
	}
	raw := make([]byte, headerBytes)
	if _, err := io.ReadFull(buffered, raw); err != nil {
		return nil, fmt.Errorf("%w: read the header: %w", ErrFormat, err)
	}
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, buffered, h.offset-headerBytes); err != nil {
		return nil, fmt.Errorf("%w: read the extensions: %w", ErrFormat, err)
	}
	values, err := h.readVoxels(buffered)
	if err != nil {
		return nil, err
	}
	v := &Volume{Size: h.size, Values: values, Bytes: h.datatype == 2 && !h.scaled()}
	v.turn(h.affine())
	return v, nil
}

// header is what is needed of a file's header.
type header struct {
	order            binary.ByteOrder
	raw              []byte
	size             [3]int
	datatype         int16
	slope, intercept float64
	offset           int64
}

func parseHeader(raw []byte) (*header, error) {
	h := &header{raw: raw}
	switch {
	case binary.LittleEndian.Uint32(raw) == headerBytes:
		h.order = binary.LittleEndian
	case binary.BigEndian.Uint32(raw) == headerBytes:
		h.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: the header's length is wrong", ErrFormat)
	}
	if magic := raw[offsetMagic:headerBytes]; !bytes.Equal(magic, []byte("n+1\x00")) {
		return nil, fmt.Errorf("%w: the magic is %q instead of \"n+1\"", ErrFormat, magic)
	}
	axes := h.int16(offsetDim)
	if axes < 3 || axes > 7 {
		return nil, fmt.Errorf("%w: it has %d axes, and 3 are needed", ErrUnsupported, axes)
	}
	voxels := int64(1)
	for i := range int(axes) {
		n := h.int16(offsetDim + 2 + 2*i)
		switch {
		case n < 1:
			return nil, fmt.Errorf("%w: axis %d has %d voxels", ErrFormat, i, n)
		case i < 3:
			h.size[i] = int(n)
			voxels *= int64(n)
		case n > 1:
			return nil, fmt.Errorf("%w: it has more than three axes", ErrUnsupported)
		}
	}
	if voxels > MaxVoxels {
		return nil, fmt.Errorf("%w: %v, and at most %d are allowed", ErrTooLarge, h.size, MaxVoxels)
	}
	h.datatype = h.int16(offsetDatatype)
	if _, ok := voxelBytes[h.datatype]; !ok {
		return nil, fmt.Errorf("%w: datatype %d", ErrUnsupported, h.datatype)
	}
	h.slope, h.intercept = h.float(offsetSlope), h.float(offsetInter)
	offset := h.float(offsetVox)
	if !(offset >= headerBytes && offset <= maxVoxOffset) {
		return nil, fmt.Errorf("%w: the voxels begin at %v", ErrFormat, offset)
	}
	h.offset = int64(offset)
	return h, nil
}

func (h *header) int16(offset int) int16 { return int16(h.order.Uint16(h.raw[offset:])) }

func (h *header) float(offset int) float64 {
	return float64(math.Float32frombits(h.order.Uint32(h.raw[offset:])))
}

// scaled tells whether slope and intercept change the values: a slope of 0 means
// that there is none.
func (h *header) scaled() bool {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	return finite(h.slope) && finite(h.intercept) && h.slope != 0 && (h.slope != 1 || h.intercept != 0)
}

// voxelBytes is the length of a voxel by NIfTI's datatype: uint8, int16, int32,
// float32, float64, int8, uint16, uint32.
var voxelBytes = map[int16]int{2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4}

func (h *header) value(b []byte) float64 {
	switch h.datatype {
	case 2:
		return float64(b[0])
	case 4:
		return float64(int16(h.order.Uint16(b)))
	case 8:
		return float64(int32(h.order.Uint32(b)))
	case 16:
		return float64(math.Float32frombits(h.order.Uint32(b)))
	case 64:
		return math.Float64frombits(h.order.Uint64(b))
	case 256:
		return float64(int8(b[0]))
	case 512:
		return float64(h.order.Uint16(b))
	}
	return float64(h.order.Uint32(b))
}

func (h *header) readVoxels(r io.Reader) ([]float32, error) {
	n, width := h.size[0]*h.size[1]*h.size[2], voxelBytes[h.datatype]
	scaled := h.scaled()
	const block = 1 << 16
	values := make([]float32, 0, min(n, block))
	buffer := make([]byte, block*width)
	for len(values) < n {
		part := buffer[:min(n-len(values), block)*width]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("%w: it ends after %d of %d voxels: %w", ErrFormat, len(values), n, err)
		}
		for ; len(part) > 0; part = part[width:] {
			v := h.value(part)
			if scaled {
				v = v*h.slope + h.intercept
			}
			if math.IsNaN(v) || math.IsInf(v, 0) {
				v = 0
			}
			values = append(values, float32(v))
		}
	}
	return values, nil
}
