// Package dicomtest makes series of small MR images as DICOM objects, for the tests
// of what receives, keeps and sends them. The images show a ball, so that a
// network finds something.
package dicomtest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ClassMR is the SOP class of the objects, Syntax their transfer syntax.
const (
	ClassMR = "1.2.840.10008.5.1.4.1.1.4"
	Syntax  = "1.2.840.10008.1.2.1"
)

// Marked is a patient's name that must not show anywhere but in DICOM objects.
const Marked = "QXMARK^Patient"

// Series is a series of axial slices, 4 mm apart.
type Series struct {
	// Number tells one series from another, each in a study of its own.
	Number int
	// Slices is their number.
	Slices int
	// Side is the number of rows and columns. Default 16.
	Side int
	// Changed makes another object of each, with the same UIDs.
	Changed bool
}

// StudyUID and SeriesUID name the series.
func (s Series) StudyUID() string  { return fmt.Sprintf("1.2.826.0.1.3680043.10.999.%d", s.Number+1) }
func (s Series) SeriesUID() string { return s.StudyUID() + ".1" }

// InstanceUID names slice k, from 0.
func (s Series) InstanceUID(k int) string { return fmt.Sprintf("%s.%d", s.SeriesUID(), k+1) }

// DataSet is slice k as a data set in explicit VR little endian.
func (s Series) DataSet(k int) []byte {
	side := s.Side
	if side <= 0 {
		side = 16
	}
	description := "T1 MPRAGE"
	if s.Changed {
		description += " corrected"
	}
	var b []byte
	element := func(tag uint32, vr string, value []byte) {
		b = binary.LittleEndian.AppendUint16(b, uint16(tag>>16))
		b = append(binary.LittleEndian.AppendUint16(b, uint16(tag)), vr...)
		if vr == "OW" {
			b = binary.LittleEndian.AppendUint32(append(b, 0, 0), uint32(len(value)))
		} else {
			b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
		}
		b = append(b, value...)
	}
	text := func(tag uint32, vr, value string) {
		if len(value)%2 == 1 {
			value += map[bool]string{true: "\x00", false: " "}[vr == "UI"]
		}
		element(tag, vr, []byte(value))
	}
	number := func(tag uint32, n int) { element(tag, "US", binary.LittleEndian.AppendUint16(nil, uint16(n))) }
	spacing := 128 / float64(side)
	text(0x00080008, "CS", `ORIGINAL\PRIMARY\M`)
	text(0x00080016, "UI", ClassMR)
	text(0x00080018, "UI", s.InstanceUID(k))
	text(0x00080020, "DA", "20200101")
	text(0x00080030, "TM", "101112")
	text(0x00080060, "CS", "MR")
	text(0x0008103e, "LO", description)
	text(0x00100010, "PN", Marked)
	text(0x00100020, "LO", "QXMARK-1")
	text(0x0020000d, "UI", s.StudyUID())
	text(0x0020000e, "UI", s.SeriesUID())
	text(0x00200013, "IS", fmt.Sprint(k+1))
	text(0x00200032, "DS", fmt.Sprintf(`-64\-64\%d`, 4*k))
	text(0x00200037, "DS", `1\0\0\0\1\0`)
	text(0x00200052, "UI", s.StudyUID()+".9")
	number(0x00280002, 1)
	text(0x00280004, "CS", "MONOCHROME2")
	number(0x00280010, side)
	number(0x00280011, side)
	text(0x00280030, "DS", fmt.Sprintf(`%g\%g`, spacing, spacing))
	number(0x00280100, 16)
	number(0x00280101, 16)
	number(0x00280102, 15)
	number(0x00280103, 0)
	element(0x7fe00010, "OW", s.pixels(side, k))
	return b
}

// pixels are a ball around the middle of the series, brighter inside.
func (s Series) pixels(side, k int) []byte {
	var b []byte
	middle := float64(side-1) / 2
	z := (float64(k) - float64(s.Slices-1)/2) / (float64(max(s.Slices, 2)) / 2)
	for y := range side {
		for x := range side {
			r := math.Hypot(z, math.Hypot(float64(x)-middle, float64(y)-middle)/middle)
			b = binary.LittleEndian.AppendUint16(b, uint16(max(0, 1000*(1-r))))
		}
	}
	return b
}
