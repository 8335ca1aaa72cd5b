// Package scan opens whole scans, whatever their format, and describes what was
// read.
//
// It tells the format by the first bytes, not by the name, and leaves the
// reading to packages nifti and dicom. The commands call it.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// Origin is what a scan's results need of its files to be written in the same
// format.
type Origin struct {
	// NIfTI is the header of a NIfTI file, for nifti.WriteLabels; nil for DICOM.
	NIfTI *nifti.Header
	// DICOM tells where a DICOM series comes from, for seg.Write; nil for NIfTI.
	DICOM *dicom.Origin
}

// Read reads the scan at path: a NIfTI file, or a folder, zip or file of DICOM
// images. What is wrong with the scan is told by a *volume.Refusal.
func Read(ctx context.Context, path string, options volume.Options) (s *volume.Scan, origin Origin, err error) {
	if options.Assume != "" && options.Assume != "RAS" {
		return nil, Origin{}, volume.Refuse(volume.CodeNoOrientation, "the orientation to assume must be RAS", "turn the scan so that it is")
	}
	dicomFormat, err := isDICOM(path)
	switch {
	case err != nil:
	case dicomFormat:
		s, origin.DICOM, err = dicom.Read(ctx, path, options)
	default:
		s, origin.NIfTI, err = nifti.Read(ctx, path, options)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, Origin{}, volume.Refuse(volume.CodeNoImage, "there is no such file or folder", "check the path")
	}
	if err != nil {
		return nil, Origin{}, err
	}
	warnings, err := s.CheckSignal()
	s.Warnings = append(s.Warnings, warnings...)
	return s, origin, err
}

// headBytes is how much of a file tells its format.
const headBytes = 512

// isDICOM tells whether the scan at path is for package dicom; if not, it is for
// package nifti. Files of other formats are refused by their name.
func isDICOM(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	if info.IsDir() {
		return true, nil
	}
	if !info.Mode().IsRegular() {
		return false, volume.Refuse(volume.CodeNotAScan, "this is neither a file nor a folder", "give a folder, a zip or a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head, err := read(file)
	if err != nil {
		return false, err
	}
	switch name := strings.TrimSuffix(strings.ToLower(filepath.Base(path)), ".gz"); {
	case dicom.Recognised(head[:min(len(head), 132)]):
		return true, nil
	case nifti.Recognised(head), strings.HasSuffix(name, ".img"):
		return false, nil // the voxels of a pair have no mark
	}
	plain := head
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		if plain, err = nifti.Peek(file, headBytes); err != nil || nifti.Recognised(plain) {
			return false, err
		}
	}
	return false, otherFormat(plain)
}

func read(file *os.File) ([]byte, error) {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return head[:n], nil
}

// formats are what people give by mistake, by the bytes at their beginning.
var formats = []struct {
	at   int
	mark string
	name string
	cure string
}{
	{0, "NRRD", "NRRD", "convert it to NIfTI"},
	{0, "version https://git-lfs", "a pointer of Git LFS: the scan itself was not downloaded", "fetch it with git lfs pull"},
	{0, "\x89HDF", "HDF5 (MINC 2 or the like)", "convert it to NIfTI"},
	{0, "CDF", "NetCDF (MINC 1 or the like)", "convert it to NIfTI"},
	{0, "\x00\x00\x00\x01\x00\x00", "MGH", "convert it to NIfTI, as mri_convert does"},
	{0, "ObjectType", "MetaImage", "convert it to NIfTI"},
	{0, "NDims", "MetaImage", "convert it to NIfTI"},
	{0, "\x89PNG", "a PNG picture", "give the scan; for single slices use brainseg segment"},
	{0, "\xff\xd8\xff", "a JPEG picture", "give the scan; for single slices use brainseg segment"},
	{0, "GIF8", "a GIF picture", "give the scan"},
	{0, "II*\x00", "a TIFF picture", "give the scan"},
	{0, "MM\x00*", "a TIFF picture", "give the scan"},
	{0, "BM", "a BMP picture", "give the scan"},
	{0, "%PDF", "a PDF", "give the scan"},
	{0, "BZh", "compressed by bzip2", "decompress it with bunzip2"},
	{0, "\xfd7zXZ\x00", "compressed by xz", "decompress it with unxz"},
	{0, "\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it with unzstd"},
	{0, "\x1f\x8b", "compressed by gzip twice", "decompress it once with gunzip"},
	{0, "7z\xbc\xaf", "a 7z archive", "unpack it"},
	{0, "Rar!", "a RAR archive", "unpack it"},
	{0, "PK\x03\x04", "a zip within gzip", "decompress it with gunzip"},
	{257, "ustar", "a tar archive", "unpack it"},
	{0, "<", "a web page or XML", "fetch the scan itself"},
	{0, "\xef\xbb\xbf<", "a web page or XML", "fetch the scan itself"},
	{0, "{", "JSON", "give the scan, not what describes it"},
}

// otherFormat refuses a file that is neither NIfTI nor DICOM, by its format where
// that is known.
func otherFormat(head []byte) error {
	for _, f := range formats {
		if len(head) > f.at && bytes.HasPrefix(head[f.at:], []byte(f.mark)) {
			return volume.Refuse(volume.CodeNotAScan, fmt.Sprintf("this is %s, not NIfTI or DICOM", f.name), f.cure)
		}
	}
	switch {
	case len(head) == 0:
		return volume.Refuse(volume.CodeDamaged, "the file is empty: it is too short even for a header", "copy or export the scan again")
	case len(head) < 348:
		return volume.Refuse(volume.CodeNotAScan, fmt.Sprintf("the file has only %d bytes: it is too short for a header and neither NIfTI nor DICOM in format", len(head)), "copy or export the scan again")
	}
	return volume.Refuse(volume.CodeNotAScan, "the format of this file is neither NIfTI nor DICOM", "give a NIfTI file or a DICOM series")
}
