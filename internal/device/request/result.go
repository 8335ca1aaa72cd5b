package request

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The values of Result.Status.
const (
	StatusSucceeded = "succeeded"
	StatusFailed    = "failed"
	// StatusAccepted is no answer: it acknowledges a request that asks for it.
	StatusAccepted = "accepted"
)

// Result answers a request.
type Result struct {
	ID       string      `json:"id"` // the request's
	Status   string      `json:"status"`
	Error    *Failure    `json:"error,omitempty"`   // where Status is failed
	Mask     *File       `json:"mask,omitempty"`    // 8-bit PNG, pixel values are classes
	Overlay  *File       `json:"overlay,omitempty"` // colour PNG, where asked for
	Tissues  []Tissue    `json:"tissues,omitempty"`
	Image    *Dimensions `json:"image,omitempty"`
	Scan     *ScanResult `json:"scan,omitempty"` // of a whole scan, in place of mask, tissues and image
	Model    *Model      `json:"model,omitempty"`
	Timings  *Timings    `json:"timings,omitempty"`
	Thing    string      `json:"thing,omitempty"` // the core device's thing name
	Time     time.Time   `json:"time"`
	Bucket   string      `json:"bucket,omitempty"` // of the mask, in answers to the form of 2018
	Prefix   string      `json:"prefix,omitempty"` // key of the mask, likewise
	Complete bool        `json:"complete"`         // false where members were left out to fit into a frame
	// Attempt counts how often this very answer was sent, from 1; Encode and
	// WithAttempt set it. A higher number may be a repetition, and a stored answer
	// that a repeated request asks for has at least 2.
	Attempt int `json:"attempt"`
}

// Failure is an Error as it is published.
type Failure struct {
	Code    Code   `json:"code"`
	Reason  string `json:"reason,omitempty"` // of a scan that is refused, by its code in docs/scans.md
	Message string `json:"message"`
}

// File is something that was written.
type File struct {
	Path   string `json:"path,omitempty"` // absolute, on the device
	URI    string `json:"uri,omitempty"`  // s3://bucket/key
	SHA256 string `json:"sha256"`         // lower-case hex
	Bytes  int    `json:"bytes"`
	// Pending is set where the object is not in S3 yet: the component writes it when S3
	// takes it.
	Pending bool   `json:"pending,omitempty"`
	Base64  []byte `json:"base64,omitempty"` // the file itself, where asked for and where it fits
}

// Tissue is what a mask says of one class.
type Tissue struct {
	Value  uint8   `json:"value"` // the pixel value in the mask
	Name   string  `json:"name"`
	Colour string  `json:"colour"` // #rrggbb, as in the overlay
	Pixels int     `json:"pixels"`
	Share  float64 `json:"share"` // of the pixels that are not background (class 0); 0 for background itself
}

// Dimensions of an image in pixels, and what is odd about it.
type Dimensions struct {
	Width  int `json:"width"`
	Height int `json:"height"`
	// SpacingMM is the size of a pixel in mm that the mask was made with, from
	// column to column and from row to row, and SpacingFrom who stated it, in the words of
	// package pixelsize.
	SpacingMM   *[2]float64 `json:"spacingMm,omitempty"`
	SpacingFrom string      `json:"spacingFrom,omitempty"`
	// Confidence is how likely the mask is good, 0 to 1, by the model itself; nil where
	// it does not judge its masks.
	Confidence *float64 `json:"confidence,omitempty"`
	// Flags name what may have spoilt the mask, in the words of package imaging.
	Flags []string `json:"flags,omitempty"`
}

// Model identifies the model that made a mask.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256,omitempty"`
}

// Timings of a request in milliseconds.
type Timings struct {
	Queue     float64 `json:"queueMs"`
	Read      float64 `json:"readMs"`
	Decode    float64 `json:"decodeMs"`
	Inference float64 `json:"inferenceMs"`
	Encode    float64 `json:"encodeMs"`
	Write     float64 `json:"writeMs"`
	Total     float64 `json:"totalMs"`
}

// Milliseconds is a duration as Timings have it.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Failed returns the result of a request that met err.
func Failed(id string, err error) Result {
	e := AsError(err)
	return Result{ID: id, Status: StatusFailed, Error: &Failure{Code: e.Code, Reason: e.reason, Message: e.Message}, Complete: true}
}

// Accepted returns the acknowledgement of a request.
func Accepted(id string) Result {
	return Result{ID: id, Status: StatusAccepted, Complete: true}
}

// Encode returns the result as JSON of at most limit bytes (no limit if 0).
// Where it would be larger, members that can be had elsewhere are left out, the
// inline mask first, and Complete is false. What is still too large becomes a
// failure that says so: an answer there always is.
func (r Result) Encode(limit int) ([]byte, error) {
	omissions := []func(*Result){
		func(*Result) {},
		func(r *Result) {
			if r.Mask != nil {
				mask := *r.Mask
				mask.Base64, r.Mask = nil, &mask
			}
		},
		func(r *Result) { r.Tissues, r.Scan = nil, r.Scan.shortened() },
		func(r *Result) { r.Timings, r.Image, r.Thing = nil, nil, "" },
		func(r *Result) { r.Overlay = nil },
		func(r *Result) {
			failure := Failure{Code: CodeResultTooLarge, Message: "the result does not fit into a frame"}
			if r.Error != nil {
				failure = Failure{Code: r.Error.Code, Reason: r.Error.Reason, Message: "the answer does not fit into a frame"}
			}
			*r = Result{ID: r.ID, Status: StatusFailed, Error: &failure, Time: r.Time, Attempt: r.Attempt}
		},
	}
	r.Attempt = max(r.Attempt, 1)
	for i, omit := range omissions {
		omit(&r)
		r.Complete = r.Complete && i == 0
		document, err := encode(r)
		if err != nil {
			return nil, fmt.Errorf("encode result: %w", err)
		}
		if limit <= 0 || len(document)+attemptDigits <= limit {
			return document, nil
		}
	}
	return nil, fmt.Errorf("encode result: not even a failure fits into %d bytes", limit)
}

// ParseResult reads a document of Encode.
func ParseResult(document []byte) (r Result, err error) {
	if err := json.Unmarshal(document, &r); err != nil {
		return Result{}, fmt.Errorf("read a result: %w", err)
	}
	return r, nil
}

// MinResult is the number of bytes into which Encode gets at least a failure.
const MinResult = 1000

// attemptDigits is what WithAttempt may add to a document.
const attemptDigits = 9

// WithAttempt returns a document of Encode with another number of the attempt.
func WithAttempt(document []byte, attempt int) []byte {
	const last = `"attempt":` // Attempt is the last member
	i := bytes.LastIndex(document, []byte(last))
	if i < 0 {
		return document
	}
	return append(strconv.AppendInt(bytes.Clone(document[:i+len(last)]), int64(attempt), 10), '}')
}

// encode writes JSON as the parsers of other languages do: without the escapes
// that HTML would need.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
