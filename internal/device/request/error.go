package request

import "errors"

// Code says what kind of error a request met. Codes are part of the interface:
// other components decide by them.
type Code string

// The codes of failed requests.
const (
	CodeInvalidRequest     Code = "invalid_request"     // the document is not a valid request
	CodeImageNotFound      Code = "image_not_found"     // nothing is where the reference points
	CodeImageNotAllowed    Code = "image_not_allowed"   // outside the configured roots or buckets, or access denied
	CodeImageTooLarge      Code = "image_too_large"     // more bytes or pixels than configured
	CodeImageUnreadable    Code = "image_unreadable"    // neither PNG nor JPEG, or damaged
	CodeOutputNotAllowed   Code = "output_not_allowed"  // outside the output folder or the configured buckets
	CodeOutputIsInput      Code = "output_is_input"     // the mask would replace the image itself
	CodeOutputExists       Code = "output_exists"       // a file that must not be replaced is there
	CodeOutputFailed       Code = "output_failed"       // the mask could not be written
	CodeStorageUnavailable Code = "storage_unavailable" // no network, no credentials, or the storage does not answer
	CodeResultTooLarge     Code = "result_too_large"    // the work is done, but its result does not fit into a frame
	CodeCancelled          Code = "cancelled"           // the request was withdrawn, or the scan called off
	CodeBusy               Code = "busy"                // the queue is full; try again later
	CodeStopping           Code = "stopping"            // the component is being stopped; try again later
	CodeConflict           Code = "conflict"            // the id belongs to another request
	CodeInferenceTimeout   Code = "inference_timeout"   // the model did not come to an end with the image in time
	CodePoisoned           Code = "poisoned"            // the process died twice while the request was in work
	CodeInternal           Code = "internal"            // a fault of the component; its log says more
)

// Error is what a requester is told: a code and a sentence that names nothing of
// the image. The cause, for logs at debug level, is wrapped.
type Error struct {
	Code    Code
	Message string
	summary string // in place of Message for everybody else, where that quotes the request
	reason  string // of a scan that is refused
	cause   error
}

// Summary is the sentence for those who did not send the request: it quotes
// nothing of it.
func (e *Error) Summary() string {
	if e.summary != "" {
		return e.summary
	}
	return e.Message
}

// NewError returns an Error; cause may be nil.
func NewError(code Code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, cause: cause}
}

// WithSummary returns the error with a sentence for those who did not send the
// request, where Message says more than they may know.
func (e *Error) WithSummary(summary string) *Error {
	with := *e
	with.summary = summary
	return &with
}

// WithReason returns the error with the code by which docs/scans.md tells why a
// scan is refused.
func (e *Error) WithReason(reason string) *Error {
	with := *e
	with.reason = reason
	return &with
}

func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

func (e *Error) Unwrap() error { return e.cause }

// AsError returns err as an *Error; what is none becomes CodeInternal without
// its text.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return NewError(CodeInternal, "the component failed on this request", err)
}

func invalid(message string, cause error) *Error {
	return NewError(CodeInvalidRequest, message, cause)
}
