package nifti_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

func TestGzipIsReadAsTheProgramGzipReadsIt(t *testing.T) {
	whole := newFile(binary.BigEndian, 2).bytes()
	flipped := zipped(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for _, test := range []struct {
		name    string
		content []byte
		warning string
		code    volume.Code
	}{
		{"two members", slices.Concat(zipped(whole[:100]), zipped(whole[100:])), "", ""},
		{"an empty member first", slices.Concat(zipped(nil), zipped(whole)), "", ""},
		{"zeros after the end", append(zipped(whole), make([]byte, 1000)...), "", ""},
		{"rubbish after the end", append(zipped(whole), "rubbish"...), "gzip-trailing", ""},
		{"half a member after the end", append(zipped(whole), zipped(whole)[:8]...), "gzip-trailing", ""},
		{"a wrong checksum", flipped, "", volume.CodeDamaged},
		{"a member that is cut", slices.Concat(zipped(whole[:100]), zipped(whole[100:])[:30]), "", volume.CodeDamaged},
	} {
		s, err := readBytes(t, "scan.nii.gz", test.content, volume.Options{})
		var refusal *volume.Refusal
		switch {
		case test.code != "":
			if !errors.As(err, &refusal) || refusal.Code != test.code {
				t.Errorf("%s: %v", test.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.warning == "" && len(s.Warnings) > 0, test.warning != "" && (len(s.Warnings) != 1 || s.Warnings[0].Name != test.warning):
			t.Errorf("%s: %v", test.name, s.Warnings)
		}
	}
}

func TestAPairIsFoundFromEitherHalf(t *testing.T) {
	for _, test := range []struct {
		header, image string
		offset        int64
	}{
		{"a.hdr", "a.img", 0}, {"a.hdr.gz", "a.img.gz", 16}, {"a.hdr", "a.img.gz", 64}, {"A.HDR", "A.IMG", 3},
	} {
		dir := t.TempDir()
		f := newFile(binary.LittleEndian, 1)
		copy(f.header[344:], "ni1\x00")
		f.voxOffset(test.offset)
		for name, content := range map[string][]byte{test.header: f.header, test.image: append(make([]byte, test.offset), f.voxels...)} {
			if strings.HasSuffix(name, ".gz") {
				content = zipped(content)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, given := range []string{test.header, test.image} {
			s, _, err := nifti.Read(t.Context(), filepath.Join(dir, given), volume.Options{})
			if err != nil || s.Values[0] != 1 || s.Values[23] != 24 {
				t.Errorf("%s of %s and %s: %v", given, test.header, test.image, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, test.image)); err != nil {
			t.Fatal(err)
		}
		var refusal *volume.Refusal
		if _, _, err := nifti.Read(t.Context(), filepath.Join(dir, test.header), volume.Options{}); !errors.As(err, &refusal) || refusal.Code != volume.CodeNoImage {
			t.Errorf("%s without %s: %v", test.header, test.image, err)
		}
	}
}
