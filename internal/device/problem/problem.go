// Package problem writes the errors of HTTP: RFC 9457 documents of the type
// application/problem+json, which carry the codes of package request beside the
// status, and where it helps the time after which to try again.
//
// What a document tells is made for the requester: it names nothing of an image
// and no path. Packages httpapi, listener and whatever is mounted beside them call
// it.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/brainseg/brainseg/internal/device/request"
)

// The codes of errors that only HTTP knows; those of package request come besides.
const (
	CodeUnauthorised     request.Code = "unauthorised"           // 401: the token is missing or wrong
	CodeForbidden        request.Code = "forbidden"              // 403: for another host, or by a page of another origin
	CodeNotFound         request.Code = "not_found"              // 404: there is nothing at this path
	CodeUnknownRequest   request.Code = "unknown_request"        // 404: no request has this id, or its answer is forgotten
	CodeNoOutput         request.Code = "no_output"              // 404: the request has no such output, or it is gone
	CodeMethodNotAllowed request.Code = "method_not_allowed"     // 405
	CodeNotAcceptable    request.Code = "not_acceptable"         // 406: no type that Accept names can be given
	CodeTooSlow          request.Code = "too_slow"               // 408: the body does not come
	CodeUnfinished       request.Code = "unfinished"             // 409: the request has no answer yet, or cannot be withdrawn any more
	CodeUnsupportedType  request.Code = "unsupported_media_type" // 415
	CodeStarting         request.Code = "starting"               // 503: the model is not there yet
)

// statuses of codes; whatever is not here is the server's fault.
var statuses = map[request.Code]int{
	request.CodeInvalidRequest:     http.StatusBadRequest,
	request.CodeImageNotFound:      http.StatusNotFound,
	request.CodeImageNotAllowed:    http.StatusForbidden,
	request.CodeImageTooLarge:      http.StatusRequestEntityTooLarge,
	request.CodeImageUnreadable:    http.StatusUnprocessableEntity,
	request.CodeOutputNotAllowed:   http.StatusForbidden,
	request.CodeOutputIsInput:      http.StatusConflict,
	request.CodeOutputExists:       http.StatusConflict,
	request.CodeStorageUnavailable: http.StatusServiceUnavailable,
	request.CodeBusy:               http.StatusTooManyRequests,
	request.CodeStopping:           http.StatusServiceUnavailable,
	request.CodeCancelled:          http.StatusConflict,
	request.CodeConflict:           http.StatusConflict,

	CodeUnauthorised:     http.StatusUnauthorized,
	CodeForbidden:        http.StatusForbidden,
	CodeNotFound:         http.StatusNotFound,
	CodeUnknownRequest:   http.StatusNotFound,
	CodeNoOutput:         http.StatusNotFound,
	CodeMethodNotAllowed: http.StatusMethodNotAllowed,
	CodeNotAcceptable:    http.StatusNotAcceptable,
	CodeTooSlow:          http.StatusRequestTimeout,
	CodeUnfinished:       http.StatusConflict,
	CodeUnsupportedType:  http.StatusUnsupportedMediaType,
	CodeStarting:         http.StatusServiceUnavailable,
}

// retryAfter is the whole number of seconds after which a request may do better.
var retryAfter = map[request.Code]int{
	request.CodeBusy:               1,
	request.CodeStopping:           5,
	request.CodeStorageUnavailable: 5,
	CodeStarting:                   1,
	CodeUnfinished:                 1,
}

// Status returns the HTTP status of a code.
func Status(code request.Code) int {
	if status, known := statuses[code]; known {
		return status
	}
	return http.StatusInternalServerError
}

type document struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   request.Code `json:"code"`
	Reason string       `json:"reason,omitempty"` // of a scan that is refused
	Detail string       `json:"detail"`
}

// Write answers with an error. Whatever is no *request.Error becomes one that says
// only that the component failed.
func Write(w http.ResponseWriter, err error) { WriteFailure(w, *request.Failed("", err).Error) }

// WriteFailure answers with the failure of a result.
func WriteFailure(w http.ResponseWriter, f request.Failure) {
	status := Status(f.Code)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if seconds, wait := retryAfter[f.Code]; wait {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	w.WriteHeader(status)
	// A client that has gone needs no answer.
	_ = json.NewEncoder(w).Encode(document{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: f.Code, Reason: f.Reason, Detail: f.Message,
	})
}

// New returns an error to Write.
func New(code request.Code, detail string) *request.Error { return request.NewError(code, detail, nil) }
