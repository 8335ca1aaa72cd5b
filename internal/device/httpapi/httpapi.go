// Package httpapi is the HTTP endpoint of the 2018 system: POST / with a
// multipart form whose field Body holds an image, answered with the mask as
// image/png. Errors are JSON with code and message.
//
// It has no access control, so it listens on loopback only. The work is package
// engine's, on the same path as that of requests from other components; nothing
// is written to disk. Package greengrass calls it.
package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Field is the name of the form field that holds the image.
const Field = "Body"

// handler answers requests by means of the engine. maxBytes tells the largest
// image that the configuration in effect allows.
func handler(e *engine.Engine, maxBytes func() int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		image, err := readImage(w, r, maxBytes())
		if err != nil {
			e.Refuse(err)
			answerError(w, request.AsError(err))
			return
		}
		answers := make(chan answer, 1)
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		e.Submit(r.Context(), engine.Requester{Way: engine.WayHTTP, Client: client},
			request.Request{ID: "http", Image: request.Image{Inline: image}, Output: request.Output{Discard: true}},
			func(o engine.Outcome) { answers <- newAnswer(o) })
		select {
		case a := <-answers:
			a.write(w)
		case <-r.Context().Done(): // the client went away; the worker finishes without it
		}
	})
	// No page of another origin may use a browser on this device to get in.
	return http.NewCrossOriginProtection().Handler(mux)
}

// answer is an outcome that outlives the worker's buffers.
type answer struct {
	mask []byte
	err  *request.Failure
}

func newAnswer(o engine.Outcome) answer {
	return answer{mask: append([]byte(nil), o.Mask...), err: o.Result.Error}
}

func (a answer) write(w http.ResponseWriter) {
	if a.err != nil {
		answerError(w, request.NewError(a.err.Code, a.err.Message, nil))
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Write(a.mask)
}

// readImage takes the image out of the form, holding no more than limit bytes of
// it. Its errors are *request.Error.
func readImage(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	const formOverhead = 64 << 10
	r.Body = http.MaxBytesReader(w, r.Body, limit+formOverhead)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, request.NewError(request.CodeInvalidRequest, "the body must be multipart/form-data with a field "+Field, err)
	}
	for {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, request.NewError(request.CodeInvalidRequest, "the form has no field "+Field, nil)
		case err != nil:
			return nil, formError(err)
		case part.FormName() != Field:
			continue
		}
		image, err := io.ReadAll(io.LimitReader(part, limit+1))
		if err != nil {
			return nil, formError(err)
		}
		if int64(len(image)) > limit {
			return nil, tooLarge(limit, nil)
		}
		return image, nil
	}
}

func formError(err error) error {
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return tooLarge(over.Limit, err)
	}
	return request.NewError(request.CodeInvalidRequest, "the form cannot be read", err)
}

func tooLarge(limit int64, cause error) error {
	return request.NewError(request.CodeImageTooLarge, fmt.Sprintf("the image has more than %d bytes", limit), cause)
}

// statusCodes are the HTTP status codes of errors; others are the server's fault.
var statusCodes = map[request.Code]int{
	request.CodeInvalidRequest:  http.StatusBadRequest,
	request.CodeImageTooLarge:   http.StatusRequestEntityTooLarge,
	request.CodeImageUnreadable: http.StatusUnprocessableEntity,
	request.CodeBusy:            http.StatusServiceUnavailable,
	request.CodeStopping:        http.StatusServiceUnavailable,
}

func answerError(w http.ResponseWriter, e *request.Error) {
	status, known := statusCodes[e.Code]
	if !known {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(request.Failure{Code: e.Code, Message: e.Message})
}
