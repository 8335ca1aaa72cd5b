package request

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// object is a JSON object with its members as they stand in the document. Names
// are taken by the letter; of members with one name the last counts.
type object map[string]json.RawMessage

// Parse reads a request. Where it fails the error is an *Error with code
// CodeInvalidRequest, and the returned request holds the id if that could be
// read, or the text of the number that stands in its place, so that the requester
// can be told.
func Parse(document []byte) (Request, error) {
	var r Request
	top, err := parseDocument(document)
	r.ID = top.readableID()
	if err != nil {
		return r, err
	}
	if err := top.known("", "id", "image", "output", "acknowledge", "bucket", "prefix", "cancel"); err != nil {
		return r, err
	}
	if _, ok := top["id"]; ok {
		id, err := top.text("id", "id", MaxID)
		if err != nil {
			return r, err
		}
		r.ID = id
	}
	if _, ok := top["cancel"]; ok {
		if len(top) != 2 || r.ID == "" || string(top["cancel"]) != "true" {
			return r, invalid("a request to cancel has an id and \"cancel\": true, and nothing else", nil)
		}
		r.Cancel = true
		return r, nil
	}
	if err := r.parseOutput(top); err != nil {
		return r, err
	}
	if err := top.flags("", map[string]*bool{"acknowledge": &r.Acknowledge}); err != nil {
		return r, err
	}
	_, hasImage := top["image"]
	_, hasBucket := top["bucket"]
	_, hasPrefix := top["prefix"]
	if hasBucket || hasPrefix {
		if !hasBucket || !hasPrefix || hasImage || r.Output.To != "" || r.Scan != nil {
			return r, invalid("a request with bucket and prefix has both, and neither image nor output.to or output.kinds", nil)
		}
		bucket, err := top.text("bucket", "bucket", MaxReference)
		if err != nil {
			return r, err
		}
		prefix, err := top.text("prefix", "prefix", MaxReference)
		if err != nil {
			return r, err
		}
		r.Classic2018, r.Image.S3 = true, "s3://"+bucket+"/"+prefix
		return r, nil
	}
	if r.ID == "" {
		return r, invalid("id is missing", nil)
	}
	if !hasImage {
		return r, invalid("image is missing", nil)
	}
	return r, r.parseImage(top)
}

// parseDocument reads the one object that a document must be. Where something
// follows the object, that is an error, and the object is returned too.
func parseDocument(document []byte) (top object, err error) {
	fault := json.Unmarshal(document, &top)
	var kind *json.UnmarshalTypeError
	switch {
	case fault == nil && top != nil:
		return top, nil
	case fault == nil, errors.As(fault, &kind):
		return nil, invalid("the request must be a JSON object", fault)
	}
	if json.NewDecoder(bytes.NewReader(document)).Decode(&top) == nil && top != nil {
		return top, invalid("the request is not one JSON document", fault)
	}
	return nil, invalid("the request is not JSON", fault)
}

// readableID is what the id of a request is told by where the request is not
// valid, "" where nothing will do.
func (o object) readableID() string {
	var id any
	decoder := json.NewDecoder(bytes.NewReader(o["id"]))
	decoder.UseNumber() // as it is written
	if o["id"] == nil || decoder.Decode(&id) != nil {
		return ""
	}
	text := ""
	switch v := id.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	}
	if checkText("id", text, MaxID) != nil {
		return ""
	}
	return text
}

func (r *Request) parseOutput(top object) error {
	if _, ok := top["output"]; !ok {
		return nil
	}
	output, err := top.object("output")
	if err != nil {
		return err
	}
	if _, ok := output["kinds"]; ok {
		return r.parseScanOutput(output)
	}
	if err := output.known("output.", "to", "overlay", "inline", "overwrite"); err != nil {
		return err
	}
	if err := output.flags("output.", map[string]*bool{"overlay": &r.Output.Overlay, "inline": &r.Output.Inline, "overwrite": &r.Output.Overwrite}); err != nil {
		return err
	}
	if _, ok := output["to"]; !ok {
		return nil
	}
	if r.Output.To, err = output.text("to", "output.to", MaxReference); err != nil {
		return err
	}
	if !strings.HasSuffix(r.Output.To, maskSuffix) || strings.HasSuffix(r.Output.To, overlaySuffix) {
		return invalid("output.to must end in .png, and not in .overlay.png, which names overlays", nil)
	}
	return nil
}

func (r *Request) parseImage(top object) error {
	image, err := top.object("image")
	if err != nil {
		return err
	}
	if r.Scan != nil {
		return r.parseScan(image)
	}
	if err := image.known("image.", "path", "s3", "base64", "spacingMm"); err != nil {
		return err
	}
	if spacing, ok := image["spacingMm"]; ok {
		if r.Image.SpacingMM, err = parseSpacing(spacing); err != nil {
			return err
		}
		delete(image, "spacingMm")
	}
	if len(image) != 1 {
		return invalid("image must have exactly one of path, s3 and base64", nil)
	}
	for name := range image {
		switch name {
		case "path":
			r.Image.Path, err = image.text(name, "image.path", MaxReference)
		case "s3":
			r.Image.S3, err = image.text(name, "image.s3", MaxReference)
			if err == nil && !strings.HasPrefix(r.Image.S3, "s3://") {
				err = invalid("image.s3 must begin with s3://", nil)
			}
		case "base64":
			r.Image.Inline, err = image.blob(name, "image.base64")
		}
	}
	return err
}

// The sizes of a pixel in mm that a request may state.
const (
	MinSpacing = 0.05
	MaxSpacing = 10.0
)

// parseSpacing reads one number for square pixels, or two: from column to column
// and from row to row.
func parseSpacing(raw json.RawMessage) (mm [2]float64, err error) {
	var one *float64
	var two []*float64
	switch {
	case json.Unmarshal(raw, &one) == nil && one != nil:
		mm = [2]float64{*one, *one}
	case json.Unmarshal(raw, &two) == nil && len(two) == 2 && two[0] != nil && two[1] != nil:
		mm = [2]float64{*two[0], *two[1]}
	default:
		return mm, invalid("image.spacingMm has the wrong type: it must be a number of millimetres, or two of them", nil)
	}
	for _, v := range mm {
		if v < MinSpacing || v > MaxSpacing {
			return [2]float64{}, invalid(fmt.Sprintf("image.spacingMm must be from %g to %g", MinSpacing, MaxSpacing), nil)
		}
	}
	return mm, nil
}

// flags reads members that are true or false, or not there.
func (o object) flags(prefix string, flags map[string]*bool) error {
	for name, flag := range flags {
		switch value := o[name]; string(value) {
		case "", "false":
		case "true":
			*flag = true
		default:
			return invalid(prefix+name+" has the wrong type: it must be true or false", nil)
		}
	}
	return nil
}

// known refuses members of other names. A name is quoted to the requester alone,
// for it may be anything.
func (o object) known(prefix string, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(names, name) {
			const summary = "the request has an unknown member"
			return &Error{Code: CodeInvalidRequest, Message: summary + " " + prefix + shorten(name), summary: summary}
		}
	}
	return nil
}

// shorten keeps an answer's message within a line, and to what can be printed.
func shorten(name string) string {
	const most = 32
	if checkText("", name, most) != nil {
		return fmt.Sprintf("whose name has %d bytes", len(name))
	}
	return name
}

func (o object) object(member string) (inner object, err error) {
	if err := json.Unmarshal(o[member], &inner); err != nil || inner == nil {
		return nil, invalid(member+" has the wrong type: it must be an object", err)
	}
	return inner, nil
}

// text reads a string of 1 to most characters, none of them a control character.
func (o object) text(member, name string, most int) (string, error) {
	var text *string
	if err := json.Unmarshal(o[member], &text); err != nil || text == nil {
		return "", invalid(name+" has the wrong type: it must be a string", err)
	}
	return *text, checkText(name, *text, most)
}

func checkText(name, text string, most int) error {
	switch {
	case text == "":
		return invalid(name+" is empty", nil)
	case len(text) > most && utf8.RuneCountInString(text) > most:
		return invalid(fmt.Sprintf("%s is longer than %d characters", name, most), nil)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		return invalid(name+" holds control characters", nil)
	}
	return nil
}

// blob reads a string of standard base64, with padding and without line breaks.
func (o object) blob(member, name string) ([]byte, error) {
	var text *string
	if err := json.Unmarshal(o[member], &text); err != nil || text == nil {
		return nil, invalid(name+" has the wrong type: it must be a string", err)
	}
	if *text == "" {
		return nil, invalid(name+" is empty", nil)
	}
	if strings.ContainsAny(*text, "\r\n") {
		return nil, invalid(name+" is not standard base64: it has line breaks", nil)
	}
	blob, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return nil, invalid(name+" is not standard base64", err)
	}
	return blob, nil
}
