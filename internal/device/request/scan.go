package request

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Scan says what of a whole scan is wanted, and decides where its files leave a
// choice.
type Scan struct {
	// Kinds are the results to write: at least one, none twice.
	Kinds []Kind `json:",omitzero"`
	// Assume is the orientation of a file that records none: "" or "RAS".
	Assume string `json:",omitzero"`
	// Series is the SeriesInstanceUID to read, "" where the rules choose.
	Series string `json:",omitzero"`
	// Volume is which volume of several to read, from 1; 0 where nothing is said.
	Volume int `json:",omitzero"`
	// Deidentify leaves patient and study out of DICOM results.
	Deidentify bool `json:",omitzero"`
}

// Kind names a result of a scan.
type Kind string

// The kinds of results.
const (
	KindLabels        Kind = "labels"        // the label map on the scan's grid, and what its values mean
	KindProbabilities Kind = "probabilities" // the probability of each class, on the scan's grid
	KindVolumes       Kind = "volumes"       // the figures, for programs
	KindReport        Kind = "report"        // a page to look at
	KindPicture       Kind = "picture"       // one picture of the three planes
	KindSEG           Kind = "seg"           // a DICOM Segmentation object, of a DICOM series
	KindOverlay       Kind = "overlay"       // its slices with the tissues in colour, a DICOM Secondary Capture
	KindSR            Kind = "sr"            // the volumes of the segmentation's segments, a DICOM Structured Report
)

// Kinds are all that there are.
var Kinds = []Kind{KindLabels, KindProbabilities, KindVolumes, KindReport, KindPicture, KindSEG, KindOverlay, KindSR}

// MaxVolume is the largest Scan.Volume.
const MaxVolume = 32767

// scanSuffix ends the name of the folder of a scan's results.
const scanSuffix = ".scan"

// ScanDestination is what the names of the results of a scan begin with, as a path
// below the output folder or s3://bucket/key: Output.To, or a place in a folder of
// the request's own, named after its id. No mask's name is in that folder by
// itself.
func (r Request) ScanDestination() string {
	if r.Output.To != "" {
		return r.Output.To
	}
	return fileName(r.ID) + scanSuffix + "/scan"
}

// parseScanOutput reads what is wanted of a scan.
func (r *Request) parseScanOutput(output object) error {
	if err := output.known("output.", "to", "kinds", "deidentify", "overwrite"); err != nil {
		return err
	}
	r.Scan = new(Scan)
	if err := output.flags("output.", map[string]*bool{"deidentify": &r.Scan.Deidentify, "overwrite": &r.Output.Overwrite}); err != nil {
		return err
	}
	var kinds []*Kind
	if err := json.Unmarshal(output["kinds"], &kinds); err != nil || len(kinds) == 0 {
		return invalid("output.kinds has the wrong type: it must be a list of at least one word", err)
	}
	for _, k := range kinds {
		if k == nil || !slices.Contains(Kinds, *k) || slices.Contains(r.Scan.Kinds, *k) {
			return invalid(fmt.Sprintf("output.kinds holds each at most once: %s", wordsOf(Kinds)), nil)
		}
		r.Scan.Kinds = append(r.Scan.Kinds, *k)
	}
	if _, ok := output["to"]; !ok {
		return nil
	}
	var err error
	if r.Output.To, err = output.text("to", "output.to", MaxReference); err != nil {
		return err
	}
	if strings.HasSuffix(r.Output.To, "/") {
		return invalid("output.to is the beginning of the names of the results, and must not end in /", nil)
	}
	return nil
}

func wordsOf(kinds []Kind) string {
	var words []string
	for _, k := range kinds {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// parseScan reads where a scan is, and what is decided about its reading.
func (r *Request) parseScan(image object) (err error) {
	if err := image.known("image.", "path", "s3", "assume", "series", "volume"); err != nil {
		return err
	}
	_, onDevice := image["path"]
	_, inS3 := image["s3"]
	switch {
	case onDevice == inS3:
		return invalid("image of a scan must have exactly one of path and s3", nil)
	case onDevice:
		r.Image.Path, err = image.text("path", "image.path", MaxReference)
	default:
		r.Image.S3, err = image.text("s3", "image.s3", MaxReference)
		if err == nil && !strings.HasPrefix(r.Image.S3, "s3://") {
			err = invalid("image.s3 must begin with s3://", nil)
		}
	}
	if err != nil {
		return err
	}
	if _, ok := image["assume"]; ok {
		if r.Scan.Assume, err = image.text("assume", "image.assume", MaxReference); err != nil || r.Scan.Assume != "RAS" {
			return invalid("image.assume must be RAS", err)
		}
	}
	if _, ok := image["series"]; ok {
		if r.Scan.Series, err = image.text("series", "image.series", 64); err != nil || strings.Trim(r.Scan.Series, "0123456789.") != "" {
			return invalid("image.series must be a UID", err)
		}
	}
	if number, ok := image["volume"]; ok {
		r.Scan.Volume = wholeNumber(string(number))
		if r.Scan.Volume == 0 {
			return invalid(fmt.Sprintf("image.volume must be a whole number from 1 to %d", MaxVolume), nil)
		}
	}
	return nil
}

// wholeNumber reads a number from 1 to MaxVolume, however it is written; 0 is none.
func wholeNumber(literal string) int {
	about, err := strconv.ParseFloat(literal, 64)
	if err != nil || about < 1 || about > MaxVolume { // a large exponent would make a large Rat
		return 0
	}
	exact, ok := new(big.Rat).SetString(literal)
	if !ok || !exact.IsInt() {
		return 0
	}
	return int(exact.Num().Int64())
}
