package dicom_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

// Tags that the tests write.
const (
	imageType     = 0x00080008
	sopClass      = 0x00080016
	sopInstance   = 0x00080018
	modality      = 0x00080060
	description   = 0x0008103e
	patientName   = 0x00100010
	patientID     = 0x00100020
	contrastAgent = 0x00180010
	repetition    = 0x00180080
	echoTime      = 0x00180081
	inversion     = 0x00180082
	privateText   = 0x00191010
	series        = 0x0020000e
	position      = 0x00200032
	orientation   = 0x00200037
	reference     = 0x00200052
	samples       = 0x00280002
	photometric   = 0x00280004
	frames        = 0x00280008
	rows          = 0x00280010
	columns       = 0x00280011
	spacing       = 0x00280030
	allocated     = 0x00280100
	storedBits    = 0x00280101
	highBit       = 0x00280102
	signed        = 0x00280103
	padding       = 0x00280120
	intercept     = 0x00281052
	slope         = 0x00281053
	pixelData     = 0x7fe00010
)

// vrs are those of the tags above; text has an even length by padding.
var vrs = map[uint32]string{
	imageType: "CS", sopClass: "UI", sopInstance: "UI", modality: "CS", description: "LO", patientName: "PN", patientID: "LO", contrastAgent: "LO",
	repetition: "DS", echoTime: "DS", inversion: "DS", privateText: "LO", series: "UI", position: "DS", orientation: "DS", reference: "UI",
	samples: "US", photometric: "CS", frames: "IS", rows: "US", columns: "US", spacing: "DS",
	allocated: "US", storedBits: "US", highBit: "US", signed: "US", padding: "US", intercept: "DS", slope: "DS", pixelData: "OW",
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// encoding of a data set.
type encoding struct {
	name, uid string
	order     byteOrder
	explicit  bool
	deflated  bool
}

var (
	implicitLE = encoding{"implicit", "1.2.840.10008.1.2", binary.LittleEndian, false, false}
	explicitLE = encoding{"explicit", "1.2.840.10008.1.2.1", binary.LittleEndian, true, false}
	deflatedLE = encoding{"deflated", "1.2.840.10008.1.2.1.99", binary.LittleEndian, true, true}
	explicitBE = encoding{"big endian", "1.2.840.10008.1.2.2", binary.BigEndian, true, false}
	encodings  = []encoding{implicitLE, explicitLE, deflatedLE, explicitBE}
)

// raw is bytes that stand for an element's value as they are.
type raw struct {
	vr    string
	bytes []byte
}

// image is one slice in the making: values of its elements (text, whole number
// or raw), and its pixels.
type image map[uint32]any

// Side lengths of the images.
const wide, high = 4, 3

// slice makes number k of an axial series, 5 mm apart, whose pixels hold
// 100 * k + index.
func slice(k int) image {
	pixels := make([]uint16, wide*high)
	for i := range pixels {
		pixels[i] = uint16(100*k + i)
	}
	return image{
		imageType: `ORIGINAL\PRIMARY\M`, sopClass: "1.2.840.10008.5.1.4.1.1.4", sopInstance: fmt.Sprintf("1.2.3.%d", k+1), modality: "MR",
		patientName: "QXMARK^Jo", patientID: "QX-1", series: "1.2.3", position: fmt.Sprintf(`-10\-20\%d`, 5*k), orientation: `1\0\0\0\1\0`, reference: "1.2.9",
		samples: 1, photometric: "MONOCHROME2", rows: high, columns: wide, spacing: `3\2`,
		allocated: 16, storedBits: 16, highBit: 15, signed: 0, pixelData: pixels,
	}
}

// stack makes a series of n slices.
func stack(n int) []image {
	var list []image
	for k := range n {
		list = append(list, slice(k))
	}
	return list
}

func (e encoding) element(tag uint32, v any) []byte {
	vr, value := vrs[tag], []byte(nil)
	switch v := v.(type) {
	case string:
		value = []byte(v)
		if len(value)%2 != 0 {
			value = append(value, ' ')
		}
	case int:
		value = e.order.AppendUint16(nil, uint16(v))
	case []uint16:
		for _, cell := range v {
			value = e.order.AppendUint16(value, cell)
		}
	case raw:
		value = v.bytes
		if v.vr != "" {
			vr = v.vr
		}
	}
	return e.header(tag, vr, uint32(len(value)), value)
}

// header writes an element of any length that it is said to have.
func (e encoding) header(tag uint32, vr string, length uint32, value []byte) []byte {
	b := e.order.AppendUint16(nil, uint16(tag>>16))
	b = e.order.AppendUint16(b, uint16(tag))
	switch {
	case !e.explicit || tag>>16 == 0xfffe:
		b = e.order.AppendUint32(b, length)
	case slices.Contains([]string{"OB", "OW", "SQ", "UN", "UT", "OF"}, vr):
		b = e.order.AppendUint32(append(append(b, vr...), 0, 0), length)
	default:
		b = e.order.AppendUint16(append(b, vr...), uint16(length))
	}
	return append(b, value...)
}

// body encodes the data set.
func (i image) body(e encoding) []byte {
	var tags []uint32
	for tag := range i {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	var b []byte
	for _, tag := range tags {
		b = append(b, e.element(tag, i[tag])...)
	}
	if e.deflated {
		var packed bytes.Buffer
		w, _ := flate.NewWriter(&packed, -1)
		w.Write(b)
		w.Close()
		b = packed.Bytes()
	}
	return b
}

// meta is preamble and meta header for a transfer syntax.
func meta(uid string) []byte {
	b := append(make([]byte, 128), "DICM"...)
	return append(b, explicitLE.header(0x00020010, "UI", uint32(len(uid)+len(uid)%2), append([]byte(uid), make([]byte, len(uid)%2)...))...)
}

func (i image) file(e encoding) []byte { return append(meta(e.uid), i.body(e)...) }

// with returns a changed copy.
func (i image) with(changes image) image {
	changed := make(image)
	for tag, v := range i {
		changed[tag] = v
	}
	for tag, v := range changes {
		if changed[tag] = v; v == nil {
			delete(changed, tag)
		}
	}
	return changed
}

// all changes each image alike.
func all(list []image, changes image) []image {
	var changed []image
	for _, i := range list {
		changed = append(changed, i.with(changes))
	}
	return changed
}

// folder writes files and returns the folder.
func folder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// files encodes images, named IM0 and so on.
func files(list []image, e encoding) map[string][]byte {
	named := make(map[string][]byte)
	for k, i := range list {
		named[fmt.Sprintf("IM%d", k)] = i.file(e)
	}
	return named
}

func readImages(t testing.TB, list []image, e encoding) (*volume.Scan, error) {
	t.Helper()
	s, _, err := dicom.Read(t.Context(), folder(t, files(list, e)), volume.Options{})
	return s, err
}

// wantStack checks that the volume is that of stack(n).
func wantStack(t *testing.T, what string, n int, s *volume.Scan, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	want := volume.FromColumns(volume.Vector{-2, 0, 0}, volume.Vector{0, -3, 0}, volume.Vector{0, 0, 5}, volume.Vector{10, 20, 0})
	if s.Size != [3]int{wide, high, n} || s.Affine != want {
		t.Errorf("%s: %v, %v", what, s.Size, s.Affine)
		return
	}
	for i, v := range s.Values {
		if want := 100*(i/(wide*high)) + i%(wide*high); v != float32(want) {
			t.Errorf("%s: voxel %d is %v, not %d", what, i, v, want)
			return
		}
	}
}

// names are those of the warnings, in order.
func names(s *volume.Scan) string {
	var list []string
	for _, w := range s.Warnings {
		list = append(list, w.Name)
	}
	return strings.Join(list, " ")
}
