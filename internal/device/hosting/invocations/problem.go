package invocations

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/volume"
)

var errNotReady = request.NewError(request.CodeBusy, "the model is being opened, try again later", nil)

var errStopping = request.NewError(request.CodeStopping, "the container is being stopped", nil)

func invalid(message string, cause error) error {
	return request.NewError(request.CodeInvalidRequest, message, cause)
}

func tooLarge(limit int64, cause error) error {
	return request.NewError(request.CodeImageTooLarge, fmt.Sprintf("the body has more than the %d bytes that are allowed", limit), cause)
}

// readError is that of a body that cannot be read to its end.
func readError(err error) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return tooLarge(over.Limit, err)
	}
	return invalid("the body cannot be read to its end", err)
}

// statusError is an error of the call itself, by its status.
type statusError struct {
	status int
	what   *request.Error
}

func (e statusError) Error() string { return e.what.Error() }

func (e statusError) Unwrap() error { return e.what }

func unsupportedType() error {
	return statusError{http.StatusUnsupportedMediaType, request.NewError(request.CodeInvalidRequest,
		"the Content-Type must be that of a PNG or JPEG slice, of request documents in JSON, or of a scan in NIfTI or DICOM; application/octet-stream has the body looked at", nil)}
}

func notAcceptable(offers string) error {
	return statusError{http.StatusNotAcceptable, request.NewError(request.CodeInvalidRequest, "the answer can be "+offers+", and Accept names none of them", nil)}
}

// refused is what is wrong with a scan, by the reader's own code.
func refused(r *volume.Refusal) error {
	status := http.StatusUnprocessableEntity
	if r.Code == volume.CodeTooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	return statusError{status, request.NewError(request.Code(r.Code), r.Error(), nil)}
}

// transient tells whether the same call may be well the next time.
func transient(code request.Code) bool {
	return code == request.CodeBusy || code == request.CodeStopping || code == request.CodeStorageUnavailable
}

// statuses are those of errors by their code; others are the server's fault.
var statuses = map[request.Code]int{
	request.CodeInvalidRequest:     http.StatusBadRequest,
	request.CodeImageNotFound:      http.StatusNotFound,
	request.CodeImageNotAllowed:    http.StatusForbidden,
	request.CodeImageTooLarge:      http.StatusRequestEntityTooLarge,
	request.CodeImageUnreadable:    http.StatusUnprocessableEntity,
	request.CodeOutputNotAllowed:   http.StatusForbidden,
	request.CodeOutputIsInput:      http.StatusConflict,
	request.CodeOutputExists:       http.StatusConflict,
	request.CodeBusy:               http.StatusServiceUnavailable,
	request.CodeStopping:           http.StatusServiceUnavailable,
	request.CodeStorageUnavailable: http.StatusServiceUnavailable,
}

func statusOf(err error) int {
	var own statusError
	if errors.As(err, &own) {
		return own.status
	}
	if status, known := statuses[request.AsError(err).Code]; known {
		return status
	}
	return http.StatusInternalServerError
}

// writeProblem answers with an RFC 9457 document. What the service's client gets
// to see of it is the body.
func writeProblem(w http.ResponseWriter, err error) {
	status, failure := statusOf(err), request.AsError(err)
	w.Header().Set("Content-Type", "application/problem+json")
	if transient(failure.Code) {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": failure.Code, "detail": failure.Message,
	})
}
