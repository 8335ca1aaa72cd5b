// Package fault says why an image was not read or a result not written: the kinds of
// failure, and a text that names no file, bucket or key, so that it may be shown and
// logged.
//
// It decides nothing. Packages store and store/objects make faults, whoever reads and
// writes by them asks for the kind.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// The kinds of *Error, for errors.Is.
var (
	// ErrReference: the reference or destination is malformed or empty.
	ErrReference = errors.New("the reference is not a usable path or s3://bucket/key")
	// ErrNotFound: no such file, bucket or key.
	ErrNotFound = errors.New("not found")
	// ErrOutsideRoots: the path is not below a configured root, or a symbolic
	// link leads out of it.
	ErrOutsideRoots = errors.New("the path is outside the configured folders")
	// ErrNotRegular: a folder, pipe, socket or device.
	ErrNotRegular = errors.New("not a regular file")
	// ErrEmpty: there are no bytes.
	ErrEmpty = errors.New("empty")
	// ErrTooLarge: more bytes than the store may read.
	ErrTooLarge = errors.New("too large")
	// ErrDenied: file permissions or the S3 policy forbid it.
	ErrDenied = errors.New("access denied")
	// ErrBucket: the bucket is not among those that the store may use.
	ErrBucket = errors.New("the bucket is not allowed by the configuration")
	// ErrCredentials: AWS credentials or the region are missing, wrong or
	// expired.
	ErrCredentials = errors.New("no usable AWS credentials or region")
	// ErrUnavailable: S3 cannot be reached, answers with a fault of its own or
	// cut the transfer short; trying again later may help.
	ErrUnavailable = errors.New("S3 is unavailable")
	// ErrTimeout: the timeout of S3 or the caller's deadline passed.
	ErrTimeout = errors.New("timed out")
	// ErrCancelled: the caller cancelled the context.
	ErrCancelled = errors.New("cancelled")
	// ErrIsSource: the destination is the image that the result was made from, by
	// whatever name.
	ErrIsSource = errors.New("the output would replace the image that it was made from")
	// ErrExists: something that is no earlier output is at the destination.
	ErrExists = errors.New("there is a file already")
	// ErrStorage: the disk refused: full, read-only or failing.
	ErrStorage = errors.New("the storage failed")
)

// Error says what failed without naming the file or object.
type Error struct {
	// Op is "read image" or "write result".
	Op string
	// Kind is one of the sentinels of this package.
	Kind error
	// Hint is a figure or a cure that may be shown, or empty.
	Hint string
	// Location is the reference or destination; not part of the text.
	Location string
	// Cause is the underlying error, or nil; not part of the text.
	Cause error
}

// Error returns the text that may be shown and logged.
func (e *Error) Error() string {
	text := e.Op + ": " + e.Kind.Error()
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap lets errors.Is and errors.As find the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Detail returns the whole story with location and cause, for debug logs only.
func (e *Error) Detail() string {
	text := fmt.Sprintf("%s [%q]", e.Error(), e.Location)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Away tells whether err is of S3 being away, or of credentials for it: the same may
// succeed later.
func Away(err error) bool {
	for _, kind := range []error{ErrUnavailable, ErrTimeout, ErrCredentials} {
		var f Fault
		if errors.Is(err, kind) || errors.As(err, &f) && f.Kind == kind {
			return true
		}
	}
	return false
}

// Fault is an *Error in the making, without operation and location.
type Fault struct {
	Kind  error
	Hint  string
	Cause error
}

// Error returns a text that may hold names, for nobody but who completes the fault.
func (f Fault) Error() string {
	if f.Cause != nil {
		return f.Kind.Error() + ": " + f.Cause.Error()
	}
	return f.Kind.Error()
}

// TooLarge is of more than limit bytes.
func TooLarge(limit int64) Fault {
	return Fault{Kind: ErrTooLarge, Hint: fmt.Sprintf("the limit is %d bytes", limit)}
}

// OfContext is of a context that has ended, with its error.
func OfContext(err error) Fault {
	if errors.Is(err, context.DeadlineExceeded) {
		return Fault{Kind: ErrTimeout, Cause: err}
	}
	return Fault{Kind: ErrCancelled, Cause: err}
}
