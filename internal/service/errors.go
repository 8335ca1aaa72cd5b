package service

import (
	"errors"

	"github.com/brainseg/brainseg/internal/imagestore"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/request"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// kind maps a sentinel of another package to the code that a requester sees.
type kind struct {
	sentinel error
	code     request.Code
}

var readKinds = []kind{
	{imagestore.ErrReference, request.CodeInvalidRequest},
	{imagestore.ErrNotFound, request.CodeImageNotFound},
	{imagestore.ErrNotRegular, request.CodeImageNotFound},
	{imagestore.ErrOutsideRoots, request.CodeImageNotAllowed},
	{imagestore.ErrDenied, request.CodeImageNotAllowed},
	{imagestore.ErrBucket, request.CodeImageNotAllowed},
	{imagestore.ErrEmpty, request.CodeImageUnreadable},
	{imagestore.ErrTooLarge, request.CodeImageTooLarge},
	{imagestore.ErrCredentials, request.CodeStorageUnavailable},
	{imagestore.ErrUnavailable, request.CodeStorageUnavailable},
	{imagestore.ErrTimeout, request.CodeStorageUnavailable},
	{imagestore.ErrStorage, request.CodeStorageUnavailable},
}

var writeKinds = []kind{
	{imagestore.ErrReference, request.CodeInvalidRequest},
	{imagestore.ErrOutsideRoots, request.CodeOutputNotAllowed},
	{imagestore.ErrNotRegular, request.CodeOutputNotAllowed},
	{imagestore.ErrDenied, request.CodeOutputNotAllowed},
	{imagestore.ErrBucket, request.CodeOutputNotAllowed},
	{imagestore.ErrNotFound, request.CodeOutputNotAllowed},
	{imagestore.ErrCredentials, request.CodeStorageUnavailable},
	{imagestore.ErrUnavailable, request.CodeStorageUnavailable},
	{imagestore.ErrTimeout, request.CodeStorageUnavailable},
	{imagestore.ErrStorage, request.CodeOutputFailed},
}

var decodeKinds = []kind{
	{imaging.ErrTooManyBytes, request.CodeImageTooLarge},
	{imaging.ErrTooManyPixels, request.CodeImageTooLarge},
	{imaging.ErrEmpty, request.CodeImageUnreadable},
	{imaging.ErrFormat, request.CodeImageUnreadable},
	{imaging.ErrUnsupported, request.CodeImageUnreadable},
	{imaging.ErrCorrupt, request.CodeImageUnreadable},
}

var segmentKinds = []kind{
	{segmentation.ErrTooLarge, request.CodeImageTooLarge},
}

// translate gives err the code of the first kind that it wraps, and that kind's
// text as the message, which names nothing of the image.
func translate(err error, kinds []kind) error {
	for _, k := range kinds {
		if errors.Is(err, k.sentinel) {
			return request.NewError(k.code, message(err, k.sentinel), err)
		}
	}
	return err
}

func readError(err error) error    { return translate(err, readKinds) }
func writeError(err error) error   { return translate(err, writeKinds) }
func decodeError(err error) error  { return translate(err, decodeKinds) }
func segmentError(err error) error { return translate(err, segmentKinds) }

// message is what a requester is told: an imagestore.Error's text is made for
// that; of other errors only the sentinel is told.
func message(err, sentinel error) string {
	var stored *imagestore.Error
	if errors.As(err, &stored) {
		return stored.Error()
	}
	return sentinel.Error()
}
