// Package httpapi is the HTTP endpoint of the 2018 system: POST / with a
// multipart form whose field Body holds an image, answered with the mask as
// image/png. Errors are JSON with code and message.
//
// It has no access control, so it listens on loopback only. The work is package
// engine's, on the same path as that of requests from other components; nothing
// is written to disk. Package greengrass calls it.
package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/brainseg/brainseg/internal/device/budget"
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
		image, hold, err := receive(e, w, r, maxBytes())
		if err != nil {
			e.Refuse(err)
			answerError(w, request.AsError(err))
			return
		}
		answers := make(chan answer, 1)
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		e.SubmitHeld(r.Context(), engine.Requester{Way: engine.WayHTTP, Client: client},
			request.Request{ID: rand.Text(), Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, hold,
			func(o engine.Outcome) { answers <- newAnswer(o) })
		select {
		case a := <-answers:
			a.write(w)
		case <-r.Context().Done(): // the client went away; the worker finishes without it
		}
	})
	// No page of another origin may use a browser on this device to get in, not
	// even one whose own name leads to this device.
	return onLoopback(http.NewCrossOriginProtection().Handler(mux))
}

// onLoopback refuses requests for another host than this one: a page's server can
// have its own name resolved to a loopback address, and a browser would then take
// the endpoint for the page's own origin.
func onLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if host != "" && !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			writeError(w, http.StatusForbidden, request.NewError(request.CodeInvalidRequest, "the Host header must be localhost or a loopback address", nil))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// receive reads an image for which there is room. Its errors are *request.Error.
func receive(e *engine.Engine, w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *budget.Hold, error) {
	expected := r.ContentLength
	if expected < 0 || expected > limit {
		expected = limit
	}
	hold, err := e.Hold(expected)
	if err != nil {
		return nil, nil, err
	}
	if r.ContentLength < 0 {
		expected = 64 << 10 // to begin with
	}
	image, err := readImage(w, r, limit, expected)
	if err != nil {
		hold.Release()
		return nil, nil, err
	}
	hold.Shrink(int64(cap(image)))
	return image, hold, nil
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
// it, and probably no more than room for what is expected. Its errors are *request.Error.
func readImage(w http.ResponseWriter, r *http.Request, limit, expected int64) ([]byte, error) {
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
		image := bytes.NewBuffer(make([]byte, 0, expected+bytes.MinRead)) // which is not moved while it grows
		if _, err := image.ReadFrom(io.LimitReader(part, limit+1)); err != nil {
			return nil, formError(err)
		}
		if int64(image.Len()) > limit {
			return nil, tooLarge(limit, nil)
		}
		return image.Bytes(), nil
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
	writeError(w, status, e)
}

func writeError(w http.ResponseWriter, status int, e *request.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(request.Failure{Code: e.Code, Message: e.Message})
}
