package invocations

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/volume"
)

var (
	errNotReady = problem.New(problem.CodeStarting, "the model is being opened, try again later")
	errStopping = request.NewError(request.CodeStopping, "the container is being stopped", nil)
	errType     = problem.New(problem.CodeUnsupportedType, "the Content-Type must be that of a PNG or JPEG slice, of request documents in JSON, or of a scan in NIfTI or DICOM; application/octet-stream has the body looked at")
)

func invalid(message string, cause error) error {
	return request.NewError(request.CodeInvalidRequest, message, cause)
}

func tooLarge(limit int64, cause error) error {
	return request.NewError(request.CodeImageTooLarge, fmt.Sprintf("the body has more than the %d bytes that are allowed", limit), cause)
}

func notAcceptable(offers string) error {
	return problem.New(problem.CodeNotAcceptable, "the answer can be "+offers+", and Accept takes none of them")
}

func noDisk(err error) error {
	return request.NewError(request.CodeStorageUnavailable, "the container's disk takes nothing more", err)
}

// readError is that of a body that cannot be read to its end.
func readError(err error) error {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge(over.Limit, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return request.NewError(problem.CodeTooSlow, "the body comes too slowly", err)
	}
	return invalid("the body cannot be read to its end", err)
}

// refused is what is wrong with a scan, with the reader's own code.
func refused(r *volume.Refusal) error {
	code := request.CodeImageUnreadable
	if r.Code == volume.CodeTooLarge {
		code = request.CodeImageTooLarge
	}
	return request.NewError(code, r.Error(), r).WithReason(string(r.Code))
}

// transient tells whether the same call may be well the next time.
func transient(code request.Code) bool {
	status := problem.Status(code)
	return status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
}
