// Package request defines the documents that the component exchanges: requests,
// results and status messages, all JSON. Its two schema files say the same for
// people who write other components.
//
// It reads and writes documents and checks their form. It opens no image, knows
// no topic, and leaves it to package engine to carry requests out.
package request

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Limits on the members of a request, in bytes.
const (
	MaxID        = 128
	MaxReference = 1024
)

// Request asks for one image to be segmented.
type Request struct {
	// ID names the request in its result: 1 to MaxID bytes of UTF-8 without
	// control characters. The seed's form may lack it; Parse leaves it empty then.
	ID string
	// Image says where the image is.
	Image Image
	// Output says what to write, and where.
	Output Output
	// Seed is set where the request has the form of the 2018 system,
	// {"bucket": b, "prefix": key}. Image and Output are filled in accordingly.
	Seed bool
}

// Image refers to an image. Exactly one member is set.
type Image struct {
	Path   string // on the device, below one of the configured roots
	S3     string // s3://bucket/key
	Inline []byte // the PNG or JPEG itself
}

// Output says what to write, and where. The zero value writes the mask to a file
// named after the request's id below the configured output folder.
type Output struct {
	// To names the mask: a path ending in .png below the output folder, or
	// s3://bucket/key. An overlay takes its name from it.
	To string
	// Overlay asks for a colour overlay as a second PNG.
	Overlay bool
	// Inline asks for the mask in the result too, where it fits.
	Inline bool
	// Discard writes nothing. It cannot be asked for in JSON; callers that take
	// the mask from memory set it.
	Discard bool
}

var memberName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,31}$`)

// Parse reads a request. Where it fails the error is an *Error with code
// CodeInvalidRequest, and the returned request holds the id if that could be
// read, so that the requester can be told.
func Parse(document []byte) (Request, error) {
	var wire struct {
		ID    *string `json:"id"`
		Image *struct {
			Path   *string `json:"path"`
			S3     *string `json:"s3"`
			Base64 *string `json:"base64"`
		} `json:"image"`
		Output *struct {
			To      *string `json:"to"`
			Overlay bool    `json:"overlay"`
			Inline  bool    `json:"inline"`
		} `json:"output"`
		Bucket *string `json:"bucket"`
		Prefix *string `json:"prefix"`
	}
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.DisallowUnknownFields()
	err := dec.Decode(&wire)
	if err == nil && dec.More() {
		err = errors.New("data after the document")
	}
	var r Request
	if wire.ID != nil && validID(*wire.ID) {
		r.ID = *wire.ID
	}
	if err != nil {
		return r, invalid(explain(err), err)
	}
	if wire.ID != nil && r.ID == "" {
		return r, invalid("id must have 1 to 128 bytes of UTF-8 without control characters", nil)
	}
	if wire.Output != nil {
		r.Output.Overlay, r.Output.Inline = wire.Output.Overlay, wire.Output.Inline
		if wire.Output.To != nil {
			r.Output.To = *wire.Output.To
			if err := validReference("output.to", r.Output.To); err != nil {
				return r, err
			}
			if !strings.HasSuffix(r.Output.To, ".png") {
				return r, invalid("output.to must end in .png", nil)
			}
		}
	}
	if wire.Bucket != nil || wire.Prefix != nil {
		if wire.Bucket == nil || wire.Prefix == nil || wire.Image != nil || r.Output.To != "" {
			return r, invalid("a request with bucket and prefix has both, and neither image nor output.to", nil)
		}
		r.Seed = true
		r.Image.S3 = "s3://" + *wire.Bucket + "/" + *wire.Prefix
		return r, validReference("bucket and prefix", r.Image.S3)
	}
	if r.ID == "" {
		return r, invalid("id is missing", nil)
	}
	if wire.Image == nil {
		return r, invalid("image is missing", nil)
	}
	set := 0
	for _, member := range []*string{wire.Image.Path, wire.Image.S3, wire.Image.Base64} {
		if member != nil {
			set++
		}
	}
	if set != 1 {
		return r, invalid("image must have exactly one of path, s3 and base64", nil)
	}
	switch {
	case wire.Image.Path != nil:
		r.Image.Path = *wire.Image.Path
		return r, validReference("image.path", r.Image.Path)
	case wire.Image.S3 != nil:
		r.Image.S3 = *wire.Image.S3
		if !strings.HasPrefix(r.Image.S3, "s3://") {
			return r, invalid("image.s3 must begin with s3://", nil)
		}
		return r, validReference("image.s3", r.Image.S3)
	}
	if r.Image.Inline, err = base64.StdEncoding.DecodeString(*wire.Image.Base64); err != nil {
		return r, invalid("image.base64 is not standard base64", err)
	}
	if len(r.Image.Inline) == 0 {
		return r, invalid("image.base64 is empty", nil)
	}
	return r, nil
}

func validID(id string) bool {
	return len(id) >= 1 && len(id) <= MaxID && printable(id)
}

func validReference(member, value string) error {
	switch {
	case value == "":
		return invalid(member+" is empty", nil)
	case len(value) > MaxReference:
		return invalid(member+" is longer than 1024 bytes", nil)
	case !printable(value):
		return invalid(member+" holds control characters or is not UTF-8", nil)
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// explain says what is wrong with a document without quoting what is in it.
func explain(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return "the request must be a JSON object"
	case errors.As(err, &kind):
		return kind.Field + " has the wrong type"
	case errors.As(err, &syntax), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the request is not JSON"
	}
	if _, name, found := strings.Cut(err.Error(), "unknown field "); found {
		if name = strings.Trim(name, `"`); memberName.MatchString(name) {
			return "the request has an unknown member " + name
		}
		return "the request has an unknown member"
	}
	return "the request is not one JSON document"
}
