// Package failure gives the errors of store, imaging and segmentation the codes and
// sentences that a requester sees, and has those that the engine itself meets. Of an
// image, its name and its content nothing is in them but what the requester may know.
// Packages engine, intake and slicejob call it.
package failure

import (
	"errors"
	"strings"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/device/watchdog"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

// kind maps a sentinel of another package to the code that a requester sees.
type kind struct {
	sentinel error
	code     request.Code
}

var readKinds = []kind{
	{fault.ErrReference, request.CodeInvalidRequest},
	{fault.ErrNotFound, request.CodeImageNotFound},
	{fault.ErrNotRegular, request.CodeImageNotFound},
	{fault.ErrOutsideRoots, request.CodeImageNotAllowed},
	{fault.ErrDenied, request.CodeImageNotAllowed},
	{fault.ErrBucket, request.CodeImageNotAllowed},
	{fault.ErrEmpty, request.CodeImageUnreadable},
	{fault.ErrTooLarge, request.CodeImageTooLarge},
	{fault.ErrCredentials, request.CodeStorageUnavailable},
	{fault.ErrUnavailable, request.CodeStorageUnavailable},
	{fault.ErrTimeout, request.CodeStorageUnavailable},
	{fault.ErrStorage, request.CodeStorageUnavailable},
}

var writeKinds = []kind{
	{fault.ErrReference, request.CodeInvalidRequest},
	{fault.ErrIsSource, request.CodeOutputIsInput},
	{fault.ErrExists, request.CodeOutputExists},
	{fault.ErrOutsideRoots, request.CodeOutputNotAllowed},
	{fault.ErrNotRegular, request.CodeOutputNotAllowed},
	{fault.ErrDenied, request.CodeOutputNotAllowed},
	{fault.ErrBucket, request.CodeOutputNotAllowed},
	{fault.ErrNotFound, request.CodeOutputNotAllowed},
	{fault.ErrCredentials, request.CodeStorageUnavailable},
	{fault.ErrUnavailable, request.CodeStorageUnavailable},
	{fault.ErrTimeout, request.CodeStorageUnavailable},
	{fault.ErrStorage, request.CodeOutputFailed},
}

var decodeKinds = []kind{
	{imaging.ErrTooManyBytes, request.CodeImageTooLarge},
	{imaging.ErrTooManyPixels, request.CodeImageTooLarge},
	{imaging.ErrTooMuchWork, request.CodeImageTooLarge},
	{imaging.ErrTooMuchMemory, request.CodeImageTooLarge},
	{imaging.ErrEmpty, request.CodeImageUnreadable},
	{imaging.ErrFormat, request.CodeImageUnreadable},
	{imaging.ErrUnsupported, request.CodeImageUnreadable},
	{imaging.ErrCorrupt, request.CodeImageUnreadable},
}

var segmentKinds = []kind{
	{segmentation.ErrTooLarge, request.CodeImageTooLarge},
	{pixelsize.ErrTooLarge, request.CodeImageTooLarge},
	{segmentation.ErrTooMuchMemory, request.CodeImageTooLarge},
	{watchdog.ErrHung, request.CodeInferenceTimeout},
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

// Read is of the reading of an image.
func Read(err error) error { return translate(err, readKinds) }

// Write is of the writing of a mask or an overlay.
func Write(err error) error { return translate(err, writeKinds) }

// Segment is of a model's work.
func Segment(err error) error { return translate(err, segmentKinds) }

// Decode is of the decoding of an image. It tells the requester all that package imaging says: how the image is
// built, nothing that it shows. Others are told the kind.
func Decode(err error) error {
	for _, k := range decodeKinds {
		if errors.Is(err, k.sentinel) {
			text := strings.TrimPrefix(err.Error(), "decode image: ")
			return request.NewError(k.code, text, err).WithSummary(k.sentinel.Error())
		}
	}
	return err
}

// message is what a requester is told: a fault.Error's text is made for
// that; of other errors only the sentinel is told.
func message(err, sentinel error) string {
	var stored *fault.Error
	if errors.As(err, &stored) {
		return stored.Error()
	}
	return sentinel.Error()
}

// What the engine itself meets.
var (
	// ErrGivenUp is of a read that does not come back.
	ErrGivenUp = request.NewError(request.CodeStorageUnavailable, "read image: the storage does not answer", nil)
	// ErrNotWritten is of a write that was given up, or not begun because so many were.
	ErrNotWritten = request.NewError(request.CodeStorageUnavailable, "write result: the storage does not answer", nil)
	// ErrPoisoned is of a request of which the process died.
	ErrPoisoned = request.NewError(request.CodePoisoned, "the component died more than once while this request was in work, and does not try it again", nil)
	// ErrNobodyWaits is of a mask that nobody can get any more.
	ErrNobodyWaits = request.NewError(request.CodeCancelled, "the component was started anew, and nobody waits for this mask", nil)
	// ErrWithdrawn is of a request that was taken back.
	ErrWithdrawn = request.NewError(request.CodeCancelled, "the request was withdrawn", nil)

	// ErrNoRoom is of an image beyond the budget of bytes.
	ErrNoRoom = request.NewError(request.CodeBusy, "there is no room for another image now, try again later", nil)
	// ErrBeingRefused is of a request that comes again while it is being refused.
	ErrBeingRefused = request.NewError(request.CodeBusy, "the request is just being refused, send it again", nil)
	// ErrClaimed is of an output that is another request's.
	ErrClaimed = request.NewError(request.CodeOutputExists, "write result: another request, whose answer is not delivered yet, has this output; send again later, or with output.overwrite", nil)
)

// Stopping is of a request that the end of the component comes before.
func Stopping(cause error) error {
	return request.NewError(request.CodeStopping, "the component is being stopped", cause)
}
