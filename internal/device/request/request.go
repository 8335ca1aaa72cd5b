// Package request defines the documents that the component exchanges: requests,
// results and status messages, all JSON. The files of package schemas say the
// same for people who write other components; what Parse accepts is exactly what
// schemas.Request does.
//
// It reads and writes documents and checks their form. It opens no image, knows
// no topic, and leaves it to package engine to carry requests out.
package request

import (
	"encoding/json"
	"fmt"
)

// Limits on the members of a request, in characters.
const (
	MaxID        = 128
	MaxReference = 1024
)

// Request asks for one image to be segmented, or no longer to be. As JSON it has the
// form of Stored, which is not that of a document.
type Request struct {
	// ID names the request in its result: 1 to MaxID characters, none of them a
	// control character. The form of 2018 may lack it; Parse leaves it empty then.
	ID string `json:",omitzero"`
	// Image says where the image is.
	Image Image `json:",omitzero"`
	// Output says what to write, and where.
	Output Output `json:",omitzero"`
	// Acknowledge asks to be told that the request is accepted, before its result:
	// from then on it is not lost. It makes no other request of one.
	Acknowledge bool `json:"-"`
	// Classic2018 is set where the request has the form of the 2018 system,
	// {"bucket": b, "prefix": key}. Image and Output are filled in accordingly.
	Classic2018 bool `json:",omitzero"`
	// Scan is set where the image is a whole scan, not a slice.
	Scan *Scan `json:",omitzero"`
	// Cancel calls off the scan that was asked for with this id. Nothing else is
	// set then.
	Cancel bool `json:",omitzero"`
}

// Image refers to an image. Exactly one of Path, S3 and Inline is set.
type Image struct {
	Path   string `json:",omitzero"` // on the device, below one of the configured roots
	S3     string `json:",omitzero"` // s3://bucket/key
	Inline []byte `json:"-"`         // the PNG or JPEG itself
	// SpacingMM is the size of a pixel in mm, from column to column and from row
	// to row; 0 where the request does not say.
	SpacingMM [2]float64 `json:",omitzero"`
}

// Location is the path or the URL of the image; "" for one that came inline.
func (i Image) Location() string {
	if i.S3 != "" {
		return i.S3
	}
	return i.Path
}

// Output says what to write, and where. The zero value writes the mask to a file
// named after the request's id below the configured output folder.
type Output struct {
	// To names the mask: a path below the output folder, or s3://bucket/key. It
	// ends in .png, but not in .overlay.png: an overlay takes its name from it. Of a
	// scan it is the beginning of the names of all results.
	To string `json:",omitzero"`
	// Overlay asks for a colour overlay as a second PNG.
	Overlay bool `json:",omitzero"`
	// Inline asks for the mask in the result too, where it fits.
	Inline bool `json:",omitzero"`
	// Overwrite lets the files that it names be replaced though another answer
	// that names them has not been delivered yet, or somebody else made them.
	Overwrite bool `json:",omitzero"`
	// Discard writes nothing. It cannot be asked for in JSON; callers that take
	// the mask from memory set it.
	Discard bool `json:",omitzero"`
}

// Stored returns a request as it is kept on disk: what was understood, in one form
// however the document put it, so that equal requests have equal bytes. The image
// in it is kept apart. Whether an acknowledgement was asked for is left out.
func (r Request) Stored() (document, image []byte, err error) {
	document, err = json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a request for the disk: %w", err)
	}
	return document, r.Image.Inline, nil
}

// FromStored is the request of which Stored made document and image.
func FromStored(document, image []byte) (r Request, err error) {
	if err := json.Unmarshal(document, &r); err != nil {
		return Request{}, fmt.Errorf("read a request from the disk: %w", err)
	}
	if len(image) > 0 {
		r.Image.Inline = image
	}
	return r, nil
}
