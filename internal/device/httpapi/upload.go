package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Field is the name of the form field that holds the image.
const Field = "Body"

// formOverhead is what a form may have beside its image, in bytes.
const formOverhead = 64 << 10

// receiveImage reads the image of a request: the field Body of a form, or a body
// that is an image. Its errors are *request.Error.
func receiveImage(e *engine.Engine, w http.ResponseWriter, r *http.Request) ([]byte, *budget.Hold, error) {
	limit := e.Config().Images.MaxBytes
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "multipart/form-data":
		return receiveForm(e, w, r, limit)
	case err == nil && (kind == "image/png" || kind == "image/jpeg"):
		return receive(e, http.MaxBytesReader(w, r.Body, limit), r.ContentLength, limit)
	}
	w.Header().Set("Accept-Post", "multipart/form-data, image/png, image/jpeg")
	return nil, nil, problem.New(problem.CodeUnsupportedType, "the body must be image/png, image/jpeg, or multipart/form-data with a field "+Field)
}

func receiveForm(e *engine.Engine, w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *budget.Hold, error) {
	r.Body = http.MaxBytesReader(w, r.Body, limit+formOverhead)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, nil, request.NewError(request.CodeInvalidRequest, "the form has no boundary", err)
	}
	for {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil, request.NewError(request.CodeInvalidRequest, "the form has no field "+Field, nil)
		case err != nil:
			return nil, nil, formError(r.Body, err, limit)
		case part.FormName() != Field:
			continue
		}
		image, hold, err := receive(e, part, r.ContentLength, limit)
		if errors.Is(err, errCutOff) {
			err = formError(r.Body, err, limit)
		}
		if err != nil {
			return nil, nil, err
		}
		// To the end, so that the connection is known to have nothing more to come.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			hold.Release()
			return nil, nil, readError(err, limit)
		}
		return image, hold, nil
	}
}

// firstBytes are made room for before anything is read.
const firstBytes = 64 << 10

// receive reads what comes, at most limit bytes, and takes room for it from the
// engine's budget as it comes: who announces much and sends little keeps little
// from others. expected is the number of bytes announced, -1 for none. Its errors
// are *request.Error.
func receive(e *engine.Engine, from io.Reader, expected, limit int64) (_ []byte, _ *budget.Hold, err error) {
	if expected < 0 || expected > limit {
		expected = limit
	}
	size := min(expected+1, firstBytes) // one more, so that the end is seen
	hold, err := e.Hold(size)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			hold.Release()
		}
	}()
	content := make([]byte, 0, size)
	for {
		n, err := from.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case int64(len(content)) > limit:
			return nil, nil, tooLarge(limit, nil)
		case errors.Is(err, io.EOF):
			hold.Shrink(int64(cap(content)))
			return content, hold, nil
		case err != nil:
			return nil, nil, readError(err, limit)
		case len(content) < cap(content):
			continue
		}
		larger := min(2*int64(cap(content)), expected+1)
		if larger <= int64(cap(content)) {
			larger = min(2*int64(cap(content)), limit+1)
		}
		if !hold.Grow(larger - int64(cap(content))) {
			return nil, nil, request.NewError(request.CodeBusy, "there is no room for another image now, try again later", nil)
		}
		content = append(make([]byte, 0, larger), content...)
	}
}

// errCutOff is wrapped where a client was cut off, or has gone, while it sent.
var errCutOff = errors.New("the client is cut off")

// readError says why a body could not be read.
func readError(err error, limit int64) error {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge(limit, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return request.NewError(problem.CodeTooSlow, "the body comes too slowly", errCutOff)
	}
	return request.NewError(request.CodeInvalidRequest, "the body cannot be read to its end", errCutOff)
}

// formError says why a form could not be read: for its own sake, where its body has
// come as a whole.
func formError(body io.Reader, err error, limit int64) error {
	switch _, fault := body.Read(make([]byte, 1)); {
	case fault == nil, errors.Is(fault, io.EOF):
		return request.NewError(request.CodeInvalidRequest, "the form cannot be read", nil)
	default:
		return readError(fault, limit)
	}
}

func tooLarge(limit int64, cause error) error {
	return request.NewError(request.CodeImageTooLarge, fmt.Sprintf("the image has more than %d bytes", limit), cause)
}

// refuse answers a request that could not be read. Status and log are told as well,
// but not of clients that are cut off: they come as often as they like.
func refuse(e *engine.Engine, w http.ResponseWriter, err error) {
	if !errors.Is(err, errCutOff) {
		e.Refuse(err)
	}
	problem.Write(w, err)
}
