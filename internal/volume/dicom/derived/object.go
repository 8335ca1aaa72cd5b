// Package derived writes DICOM objects that are made from a series of images: what
// they have in common, which is their encoding, whose they are, what made them,
// and UIDs that follow from their content.
//
// What an object says is its own package's: seg, capture and report call this
// one. It reads nothing and sends nothing. The standard is at
// https://dicom.nema.org.
package derived

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"math/big"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

// The transfer syntaxes that are written.
const (
	ExplicitLE = "1.2.840.10008.1.2.1"
	RLE        = "1.2.840.10008.1.2.5"
)

const (
	// implementation names this writer.
	implementation = "2.25.236049487104529017410424311243086419275"
	// Manufacturer is what the objects say made them.
	Manufacturer = "brainseg"
)

// Source is the series that an object is made from, and what made it.
type Source struct {
	Origin *dicom.Origin
	// Model and its version, as in its manifest, and the hash of its file.
	Model, ModelVersion, ModelSHA256 string
	// Version of the program.
	Version string
	// Deidentify leaves the patient and the study without a word. UIDs stay, for
	// without them no viewer finds the images.
	Deidentify bool
}

// Class is what kind of object is written.
type Class struct {
	UID      string // of the SOP class
	Modality string
	Syntax   string // of the transfer
}

// UIDs gives the UIDs that an object does not take from its source, by what they
// are of.
type UIDs func(purpose string) string

// The purposes that every object has.
const (
	Instance = "instance"
	Series   = "series"
)

// Write writes a file. encode writes the data set and is called twice: its UIDs
// follow from a hash of all else.
func Write(w io.Writer, class Class, encode func(*Encoder, UIDs)) error {
	uids, err := Identify(class, encode)
	if err != nil {
		return err
	}
	return write(w, class, encode, uids)
}

// Identify finds the UIDs of what Write would write.
func Identify(class Class, encode func(*Encoder, UIDs)) (UIDs, error) {
	digest := sha256.New()
	if err := write(digest, class, encode, func(string) string { return "" }); err != nil {
		return nil, err
	}
	sum := digest.Sum(nil)
	return func(purpose string) string { return DerivedUID(purpose, sum) }, nil
}

func write(w io.Writer, class Class, encode func(*Encoder, UIDs), uids UIDs) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	e := &Encoder{w: buffered}
	meta(e, class, uids(Instance))
	encode(e, uids)
	if e.err != nil {
		return e.err
	}
	return buffered.Flush()
}

// meta writes the file's meta header.
func meta(e *Encoder, class Class, instance string) {
	var group bytes.Buffer
	m := &Encoder{w: &group}
	m.Bytes(0x00020001, "OB", []byte{0, 1})
	m.Text(0x00020002, "UI", class.UID)
	m.Text(0x00020003, "UI", instance)
	m.Text(0x00020010, "UI", class.Syntax)
	m.Text(0x00020012, "UI", implementation)
	m.Text(0x00020013, "SH", strings.ToUpper(Manufacturer))
	e.Write(make([]byte, 128))
	e.Write([]byte("DICM"))
	e.UL(0x00020000, uint32(group.Len()))
	e.Write(group.Bytes())
	e.last = 0x00020013
}

// Check tells, by a *volume.Refusal, why an object that is made from the series
// with the origin (nil for a scan that is no DICOM series) cannot be written. what
// names the object, such as "a DICOM SEG".
func Check(origin *dicom.Origin, what string) error {
	if origin == nil {
		return volume.Refuse(volume.CodeNoSeries, what+" refers to the images of a DICOM series, and this scan is none", "give the DICOM series, or do without "+plain(what))
	}
	cure := "export the series again, or do without " + plain(what)
	missing := func(uid string) error {
		return volume.Refuse(volume.CodeBadHeader, what+" refers to its images by their UIDs, and "+uid+" is missing or none", cure)
	}
	switch {
	case !validUID(origin.StudyUID):
		return missing("StudyInstanceUID (0020,000d)")
	case !validUID(origin.SeriesUID):
		return missing("SeriesInstanceUID (0020,000e)")
	case origin.FrameOfReferenceUID != "" && !validUID(origin.FrameOfReferenceUID):
		return missing("FrameOfReferenceUID (0020,0052)")
	}
	type image struct {
		uid   string
		frame int
	}
	seen := make(map[image]bool)
	for _, s := range origin.Slices {
		if !validUID(s.InstanceUID) || !validUID(s.ClassUID) {
			return missing("SOPInstanceUID (0008,0018) or SOPClassUID (0008,0016) of an image")
		}
		if i := (image{s.InstanceUID, s.Frame}); seen[i] {
			return volume.Refuse(volume.CodeBadHeader, what+" refers to its images by their UIDs, and two images have the same SOPInstanceUID (0008,0018)", cure)
		} else {
			seen[i] = true
		}
	}
	return nil
}

// plain is the name of an object with the article of one that was spoken of.
func plain(what string) string {
	return "the " + strings.TrimPrefix(strings.TrimPrefix(what, "a "), "DICOM ")
}

func validUID(uid string) bool {
	return uid != "" && len(uid) <= 64 && strings.Trim(uid, "0123456789.") == ""
}

// DerivedUID makes a UID out of data: a UUID of version 8 (RFC 9562) below 2.25,
// as PS3.5 B.2 allows.
func DerivedUID(purpose string, data []byte) string {
	hash := sha256.Sum256(append([]byte("brainseg "+purpose+"\x00"), data...))
	uuid := hash[:16]
	uuid[6] = uuid[6]&0x0f | 0x80
	uuid[8] = uuid[8]&0x3f | 0x80
	return "2.25." + new(big.Int).SetBytes(uuid).String()
}
