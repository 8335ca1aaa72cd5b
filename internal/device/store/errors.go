package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"
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
	// ErrTooLarge: more bytes than Options.MaxBytes.
	ErrTooLarge = errors.New("too large")
	// ErrDenied: file permissions or the S3 policy forbid it.
	ErrDenied = errors.New("access denied")
	// ErrBucket: the bucket is not among S3Options.AllowedBuckets.
	ErrBucket = errors.New("the bucket is not allowed by the configuration")
	// ErrCredentials: AWS credentials or the region are missing, wrong or
	// expired.
	ErrCredentials = errors.New("no usable AWS credentials or region")
	// ErrUnavailable: S3 cannot be reached, answers with a fault of its own or
	// cut the transfer short; trying again later may help.
	ErrUnavailable = errors.New("S3 is unavailable")
	// ErrTimeout: S3Options.Timeout or the caller's deadline passed.
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

// failure is an *Error in the making, without operation and location.
type failure struct {
	kind  error
	hint  string
	cause error
}

func (f failure) Error() string {
	if f.cause != nil {
		return f.kind.Error() + ": " + f.cause.Error()
	}
	return f.kind.Error()
}

func tooLarge(limit int64) failure {
	return failure{kind: ErrTooLarge, hint: fmt.Sprintf("the limit is %d bytes", limit)}
}

func contextFailure(err error) failure {
	if errors.Is(err, context.DeadlineExceeded) {
		return failure{kind: ErrTimeout, cause: err}
	}
	return failure{kind: ErrCancelled, cause: err}
}

// fileFailure gives an error of the file system its kind.
func fileFailure(err error) error {
	var known failure
	if errors.As(err, &known) {
		return err
	}
	if escapes(err) {
		return failure{kind: ErrOutsideRoots, cause: err}
	}
	var number syscall.Errno
	errors.As(err, &number)
	f := failure{kind: ErrStorage, cause: err}
	switch number {
	case syscall.ENOENT, syscall.ENOTDIR:
		f.kind = ErrNotFound
	case syscall.EACCES, syscall.EPERM:
		f.kind, f.hint = ErrDenied, "let the component's user have the file"
	case syscall.EISDIR, syscall.EEXIST, syscall.ENXIO, syscall.ENODEV:
		f.kind = ErrNotRegular
	case syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ:
		f.kind, f.hint = ErrReference, "the name is too long or not allowed by the file system"
	case syscall.ELOOP:
		f.kind, f.hint = ErrNotFound, "too many symbolic links"
	case syscall.ENOSPC, syscall.EDQUOT:
		f.hint = "no space left on the device"
	case syscall.EROFS:
		f.hint = "the file system is read-only"
	default:
		f.hint = fmt.Sprintf("%s", number)
	}
	return f
}
