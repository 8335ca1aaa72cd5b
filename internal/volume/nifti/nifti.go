// Package nifti reads scans from NIfTI-1 and NIfTI-2 files and writes label maps
// on their grid.
//
// It reads single files and pairs of .hdr and .img, compressed by gzip or not,
// in either byte order, with every integer and float type. Where the standard
// leaves a choice it makes it once and tells it as a warning; where a file
// contradicts itself it refuses. docs/scans.md lists both. It streams: no more
// than the volume is in memory, and nothing is allocated that the file cannot
// fill.
//
// Package scan calls it, and package modelcheck for labelled volumes. The format
// is that of nifti1.h and nifti2.h, https://nifti.nimh.nih.gov.
package nifti

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

const (
	// maxOffset bounds where the voxels may begin: extensions of a gigabyte are
	// none.
	maxOffset = 1 << 30
	// maxTail bounds what is read after the voxels to see whether the file ends
	// there.
	maxTail = 64 << 20
	// deflateRatio is the most that a byte of deflate can expand to.
	deflateRatio = 1032
)

// Read reads the scan at path: a .nii file or either half of a pair, compressed
// or not, by its content rather than its name. The header is for WriteLabels.
// What is wrong with the file is told by a *volume.Refusal.
func Read(ctx context.Context, path string, options volume.Options) (*volume.Scan, *Header, error) {
	headerPath, imagePath := pair(path)
	file, err := open(ctx, headerPath)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	scan := new(volume.Scan)
	h, err := file.header()
	if imagePath == "" && isImageHalf(path) && err != nil {
		return nil, nil, volume.Refuse(volume.CodeNoImage, "this is the half of a pair that holds the voxels, and its .hdr file with the header is not beside it", "put both files into one folder")
	}
	if err != nil {
		return nil, nil, err
	}
	scan.Format = fmt.Sprintf("nifti-%d", h.Version)
	l, err := h.layout(scan, options.Limit())
	if err != nil {
		return nil, nil, err
	}
	scan.Size, scan.DataType = l.size, l.kind.name
	if scan.Affine, err = h.affine(scan, l.size, options.Assume); err != nil {
		return nil, nil, err
	}
	wanted := int64(options.Volume)
	switch {
	case wanted < 0 || wanted > l.volumes:
		return nil, nil, volume.Refuse(volume.CodeNoImage, fmt.Sprintf("the file has %d volume(s), and volume %d was asked for", l.volumes, wanted), "ask for one of them")
	case wanted == 0 && l.volumes > 1:
		wanted = 1
		scan.Warn(fmt.Sprintf("first-volume-of-%d", l.volumes), "the file has four dimensions with %d volumes; the first was read (--volume chooses another)", l.volumes)
	case wanted == 0:
		wanted = 1
	}

	source, read := file, int64(len(h.raw))
	if h.magic != "n+" {
		if imagePath == "" {
			return nil, nil, volume.Refuse(volume.CodeNoImage, "this is the header of a pair, and its .img file with the voxels is not beside it", "put both files into one folder")
		}
		image, err := open(ctx, imagePath)
		if err != nil {
			return nil, nil, err
		}
		defer image.Close()
		source, read = image, 0
	}
	if err := source.voxels(scan, h, l, read, wanted); err != nil {
		return nil, nil, err
	}
	return scan, h, nil
}

// pair returns the files of the header and of the voxels; image is "" where path
// has no other half.
func pair(path string) (header, image string) {
	stem, zip := path, ""
	if ext := filepath.Ext(stem); strings.EqualFold(ext, ".gz") {
		stem, zip = strings.TrimSuffix(stem, ext), ext
	}
	ext := filepath.Ext(stem)
	stem = strings.TrimSuffix(stem, ext)
	find := func(ext string) string {
		for _, candidate := range []string{ext + zip, strings.ToUpper(ext) + zip, ext + ".gz", ext, strings.ToUpper(ext), strings.ToUpper(ext) + ".GZ"} {
			if info, err := os.Stat(stem + candidate); err == nil && info.Mode().IsRegular() {
				return stem + candidate
			}
		}
		return ""
	}
	if strings.EqualFold(ext, ".img") {
		if header := find(".hdr"); header != "" {
			return header, path
		}
		return path, ""
	}
	return path, find(".img")
}

// isImageHalf tells by its name whether path is the .img of a pair.
func isImageHalf(path string) bool {
	if ext := filepath.Ext(path); strings.EqualFold(ext, ".gz") {
		path = strings.TrimSuffix(path, ext)
	}
	return strings.EqualFold(filepath.Ext(path), ".img")
}

// file is an open file with its compression taken off.
type file struct {
	*bufio.Reader
	raw  *os.File
	zip  *gunzip // nil if not compressed
	size int64   // of the file on disk
}

func (f *file) Close() error { return f.raw.Close() }

// contextReader ends the reading when its context ends.
type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(b)
}

func open(ctx context.Context, path string) (*file, error) {
	raw, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := raw.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = volume.Refuse(volume.CodeNotAScan, "this is not a regular file", "give a NIfTI file")
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	f := &file{raw: raw, size: info.Size(), Reader: bufio.NewReaderSize(contextReader{ctx, raw}, 64<<10)}
	if head, _ := f.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		if f.zip, err = newGunzip(f.Reader); err != nil {
			raw.Close()
			return nil, damaged(err, "the gzip file's own header")
		}
		f.Reader = bufio.NewReaderSize(f.zip, 64<<10)
	}
	return f, nil
}

// header reads the header at the start of the file.
func (f *file) header() (*Header, error) {
	head, err := f.Peek(4)
	if len(head) < 4 {
		return nil, damaged(err, "the header")
	}
	length := header1Bytes
	switch version, _, ok := identify(head); {
	case !ok:
		return nil, volume.Refuse(volume.CodeNotAScan, "this is not a NIfTI file: it does not begin with the size of a header", "give a NIfTI file or a DICOM series")
	case version == 2:
		length = header2Bytes
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, damaged(err, "the header")
	}
	return parseHeader(raw)
}

// damaged explains a read that failed.
func damaged(err error, where string) error {
	cure := "copy or export the scan again"
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return volume.Refuse(volume.CodeDamaged, "the file is truncated: it is too short and ends unexpectedly within "+where, cure)
	case isPathError(err):
		return err
	}
	return volume.Refuse(volume.CodeDamaged, "the gzip data are damaged (checksum or coding) within "+where, cure)
}

func isPathError(err error) bool {
	var p *os.PathError
	return errors.As(err, &p)
}

// offset returns where the voxels begin, from the start of their file; assumed
// tells that the header leaves it open.
func (h *Header) offset() (offset int64, assumed bool, err error) {
	least := int64(0)
	if h.magic == "n+" {
		least = int64(len(h.raw))
	}
	v := h.voxOffset
	switch {
	case v == 0 && h.magic == "n+":
		return least + 4, true, nil
	case !(v >= float64(least)) || v > maxOffset || v != math.Trunc(v):
		return 0, false, badHeader("vox_offset is %v, and the voxels of this file cannot begin there", v)
	}
	return int64(v), false, nil
}

// voxels reads volume number wanted from the file, of which read bytes are
// consumed, and goes on to the file's end to see that it is whole.
func (f *file) voxels(scan *volume.Scan, h *Header, l layout, read, wanted int64) error {
	offset, assumed, err := h.offset()
	if err != nil {
		return err
	}
	bytes := int64(l.voxels) * int64(l.kind.width)
	need := offset + bytes*l.volumes
	// Before anything is allocated: can the file hold that much?
	if f.zip == nil && f.size < need || f.zip != nil && f.size < need/deflateRatio {
		if offset > f.size && f.zip == nil {
			return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("vox_offset is %d, beyond the end of the file, which is too short or truncated", offset), "copy or export the scan again")
		}
		return h.short(l, need, f.size)
	}
	f.tellExtensions(scan, h, offset, read)
	if _, err := io.CopyN(io.Discard, f, offset-read); err != nil {
		return damaged(err, fmt.Sprintf("what lies before the voxels (vox_offset %d)", offset))
	}
	if _, err := io.CopyN(io.Discard, f, (wanted-1)*bytes); err != nil {
		return damaged(err, "the voxels")
	}
	scaling, err := h.scaling(scan)
	if err != nil {
		return err
	}
	if err := f.convert(scan, h, l, scaling); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, f, (l.volumes-wanted)*bytes); err != nil {
		return damaged(err, "the volumes that follow")
	}
	return f.tail(scan, h, l, assumed, bytes*l.volumes)
}

func (h *Header) short(l layout, need, have int64) error {
	more := ""
	if h.bitpix != 8*l.kind.width {
		more = fmt.Sprintf(" (bitpix is %d, which does not fit datatype %d)", h.bitpix, h.datatype)
	}
	return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("the file is truncated: %d bytes are needed for the voxels and it is too short, with %d%s", need, have, more), "copy or export the scan again")
}

// tellExtensions looks whether a header's extensions are what they say. They are
// not needed.
func (f *file) tellExtensions(scan *volume.Scan, h *Header, offset, read int64) {
	if h.magic != "n+" || offset-read < 12 {
		return
	}
	head, err := f.Peek(12)
	if err != nil || head[0] == 0 {
		return
	}
	if size := int64(int32(h.order.Uint32(head[4:]))); size < 8 || size > offset-read-4 {
		scan.Warn("extension-damaged", "an extension of the header has an impossible size; extensions are not needed and were skipped")
	}
}

// scaling returns the scaling, nil for none.
func (h *Header) scaling(scan *volume.Scan) (*volume.Scaling, error) {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	switch {
	case h.magic == "":
		return nil, nil
	case h.slope == 0:
		if h.intercept != 0 {
			scan.Warn("scaling-none", "scl_slope is 0, which means no scaling; scl_inter was ignored")
		}
		return nil, nil
	case !finite(h.slope):
		scan.Warn("scaling-none", "scl_slope is no finite number; no scaling was applied")
		return nil, nil
	case !finite(h.intercept):
		return nil, badHeader("scl_slope is %v but scl_inter is no finite number", h.slope)
	case h.slope == 1 && h.intercept == 0:
		return nil, nil
	case h.slope < 0:
		scan.Warn("scaling-negative", "scl_slope is negative; values are turned as it says")
	}
	scan.Scaling = &volume.Scaling{Slope: h.slope, Intercept: h.intercept}
	return scan.Scaling, nil
}

// convert reads one volume into scan.Values.
func (f *file) convert(scan *volume.Scan, h *Header, l layout, scaling *volume.Scaling) error {
	const block = 1 << 14
	values := make([]float32, 0, l.voxels)
	stored := make([]byte, block*l.kind.width)
	wide := make([]float64, block)
	for len(values) < l.voxels {
		n := min(l.voxels-len(values), block)
		if _, err := io.ReadFull(f, stored[:n*l.kind.width]); err != nil {
			return damaged(err, "the voxels")
		}
		l.kind.convert(wide[:n], stored, h.order)
		for _, v := range wide[:n] {
			if scaling != nil {
				v = float64(v*scaling.Slope) + scaling.Intercept
			}
			values = append(values, float32(v))
		}
	}
	scan.Values = values
	return nil
}

// tail reads what follows the voxels, which checks a gzip's checksum too.
func (f *file) tail(scan *volume.Scan, h *Header, l layout, assumed bool, bytes int64) error {
	extra, err := io.CopyN(io.Discard, f, maxTail)
	if err != nil && !errors.Is(err, io.EOF) {
		return damaged(err, "its last bytes: all voxels are there, but not the checksum of the whole")
	}
	if assumed {
		if extra > 0 {
			return badHeader("vox_offset is 0, and the length of the file does not tell where the voxels begin")
		}
		scan.Warn("vox-offset-unset", "vox_offset is 0; by the file's length the voxels follow the header")
	}
	if width := l.kind.width; h.bitpix != 8*width {
		if stored := bytes / int64(width) * int64(h.bitpix) / 8; h.bitpix > 8*width && bytes+extra >= stored {
			return badHeader("datatype %d and bitpix %d disagree, and the file's length fits bitpix", h.datatype, h.bitpix)
		}
		scan.Warn("bitpix-ignored", "bitpix is %d and does not fit datatype %d (%s), which counts and fits the file's length", h.bitpix, h.datatype, l.kind.name)
	}
	if extra > 0 {
		scan.Warn("trailing-bytes", "bytes follow the voxels; they were ignored")
	}
	if f.zip != nil && f.zip.trailing {
		scan.Warn("gzip-trailing", "bytes follow the end of the gzip data, of which all passed the check; they were ignored")
	}
	return nil
}
