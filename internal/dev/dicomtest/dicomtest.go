// Package dicomtest makes series of small MR images as DICOM objects, for the tests
// of what receives, keeps and sends them. The images show a ball, so that a
// network finds something.
package dicomtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ClassMR and ClassEnhanced are the SOP classes of the objects, Syntax is their
// transfer syntax.
const (
	ClassMR       = "1.2.840.10008.5.1.4.1.1.4"
	ClassEnhanced = "1.2.840.10008.5.1.4.1.1.4.1"
	Syntax        = "1.2.840.10008.1.2.1"
)

// Marked is a patient's name that must not show anywhere but in DICOM objects.
const Marked = "QXMARK^Patient"

// Series is a series of axial slices, 4 mm apart.
type Series struct {
	// Number tells one series from another, each in a study of its own.
	Number int
	// Slices is their number.
	Slices int
	// Enhanced has them in one object: such a series is complete when it is there,
	// however slow the machine.
	Enhanced bool
	// Side is the number of rows and columns. Default 16.
	Side int
	// Changed makes another object of each, with the same UIDs.
	Changed bool
	// Blank has images without signal.
	Blank bool
}

// StudyUID and SeriesUID name the series.
func (s Series) StudyUID() string  { return fmt.Sprintf("1.2.826.0.1.3680043.10.999.%d", s.Number+1) }
func (s Series) SeriesUID() string { return s.StudyUID() + ".1" }

// InstanceUID names slice k, from 0.
func (s Series) InstanceUID(k int) string { return fmt.Sprintf("%s.%d", s.SeriesUID(), k+1) }

// Class is the SOP class of the objects, Objects their number.
func (s Series) Class() string {
	if s.Enhanced {
		return ClassEnhanced
	}
	return ClassMR
}

// Objects is the number of objects of the series.
func (s Series) Objects() int {
	if s.Enhanced {
		return 1
	}
	return s.Slices
}

// encoder writes elements in explicit VR little endian.
type encoder []byte

func (e *encoder) element(tag uint32, vr string, value []byte) {
	b := binary.LittleEndian.AppendUint16(*e, uint16(tag>>16))
	b = append(binary.LittleEndian.AppendUint16(b, uint16(tag)), vr...)
	if vr == "OW" {
		b = binary.LittleEndian.AppendUint32(append(b, 0, 0), uint32(len(value)))
	} else {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	}
	*e = append(b, value...)
}

func (e *encoder) text(tag uint32, vr, value string) {
	if len(value)%2 == 1 {
		value += map[bool]string{true: "\x00", false: " "}[vr == "UI"]
	}
	e.element(tag, vr, []byte(value))
}

func (e *encoder) number(tag uint32, n int) {
	e.element(tag, "US", binary.LittleEndian.AppendUint16(nil, uint16(n)))
}

// sequence writes a sequence of n items, each without a stated length.
func (e *encoder) sequence(tag uint32, n int, item func(i int)) {
	const undefined = "\xff\xff\xff\xff"
	*e = binary.LittleEndian.AppendUint16(*e, uint16(tag>>16))
	*e = append(binary.LittleEndian.AppendUint16(*e, uint16(tag)), "SQ\x00\x00"+undefined...)
	for i := range n {
		*e = append(*e, "\xfe\xff\x00\xe0"+undefined...)
		item(i)
		*e = append(*e, "\xfe\xff\x0d\xe0\x00\x00\x00\x00"...)
	}
	*e = append(*e, "\xfe\xff\xdd\xe0\x00\x00\x00\x00"...)
}

// DataSet is object k, from 0, as a data set in explicit VR little endian.
func (s Series) DataSet(k int) []byte {
	side := s.Side
	if side <= 0 {
		side = 16
	}
	description := "T1 MPRAGE"
	if s.Changed {
		description += " corrected"
	}
	spacing := fmt.Sprintf(`%g\%g`, 128/float64(side), 128/float64(side))
	position := func(e *encoder, k int) { e.text(0x00200032, "DS", fmt.Sprintf(`-64\-64\%d`, 4*k)) }
	orientation := func(e *encoder) { e.text(0x00200037, "DS", `1\0\0\0\1\0`) }
	e := new(encoder)
	e.text(0x00080008, "CS", `ORIGINAL\PRIMARY\M`)
	e.text(0x00080016, "UI", s.Class())
	e.text(0x00080018, "UI", s.InstanceUID(k))
	e.text(0x00080020, "DA", "20200101")
	e.text(0x00080030, "TM", "101112")
	e.text(0x00080060, "CS", "MR")
	e.text(0x0008103e, "LO", description)
	e.text(0x00100010, "PN", Marked)
	e.text(0x00100020, "LO", "QXMARK-1")
	e.text(0x0020000d, "UI", s.StudyUID())
	e.text(0x0020000e, "UI", s.SeriesUID())
	e.text(0x00200013, "IS", fmt.Sprint(k+1))
	if !s.Enhanced {
		position(e, k)
		orientation(e)
	}
	e.text(0x00200052, "UI", s.StudyUID()+".9")
	e.number(0x00280002, 1)
	e.text(0x00280004, "CS", "MONOCHROME2")
	if s.Enhanced {
		e.text(0x00280008, "IS", fmt.Sprint(s.Slices))
	}
	e.number(0x00280010, side)
	e.number(0x00280011, side)
	if !s.Enhanced {
		e.text(0x00280030, "DS", spacing)
	}
	e.number(0x00280100, 16)
	e.number(0x00280101, 16)
	e.number(0x00280102, 15)
	e.number(0x00280103, 0)
	if !s.Enhanced {
		e.element(0x7fe00010, "OW", s.pixels(side, k))
		return *e
	}
	e.sequence(0x52009229, 1, func(int) { // SharedFunctionalGroupsSequence
		e.sequence(0x00209116, 1, func(int) { orientation(e) })
		e.sequence(0x00289110, 1, func(int) { e.text(0x00280030, "DS", spacing) })
	})
	var frames []byte
	e.sequence(0x52009230, s.Slices, func(k int) { // PerFrameFunctionalGroupsSequence
		e.sequence(0x00209113, 1, func(int) { position(e, k) })
		frames = append(frames, s.pixels(side, k)...)
	})
	e.element(0x7fe00010, "OW", frames)
	return *e
}

// pixels are a ball around the middle of the series, brighter inside.
func (s Series) pixels(side, k int) []byte {
	var b []byte
	middle := float64(side-1) / 2
	z := (float64(k) - float64(s.Slices-1)/2) / (float64(max(s.Slices, 2)) / 2)
	for y := range side {
		for x := range side {
			r := math.Hypot(z, math.Hypot(float64(x)-middle, float64(y)-middle)/middle)
			value := max(0, 1000*(1-r))
			if s.Blank {
				value = 0
			}
			b = binary.LittleEndian.AppendUint16(b, uint16(value))
		}
	}
	return b
}

// TissueModel is a folder with the small model threshold below the repository's
// root, whose classes are tissues that a DICOM SEG has codes for.
func TissueModel(t testing.TB, root string) string {
	t.Helper()
	from, to := filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"), t.TempDir()
	for _, name := range []string{"manifest.json", "model.onnx"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "manifest.json" {
			raw = []byte(strings.NewReplacer(`"below"`, `"background"`, `"inside"`, `"csf"`, `"above"`, `"grey-matter"`).Replace(string(raw)))
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
