package httpapi

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"

	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

const (
	typePNG  = "image/png"
	typeJSON = "application/json"
)

// segment answers an image with its mask, its overlay or the result document. No
// file is written for others to see.
func (a *API) segment(w http.ResponseWriter, r *http.Request) {
	e := a.working(w)
	if e == nil {
		return
	}
	kind := Choose(r.Header, typePNG, typeJSON)
	overlay, err := boolean(r.URL.Query(), "overlay")
	if err == nil && kind == "" {
		err = problem.New(problem.CodeNotAcceptable, "the answer is image/png or application/json, and Accept takes neither")
	}
	if err != nil {
		refuse(e, w, err)
		return
	}
	image, hold, err := receiveImage(e, w, r)
	if err != nil {
		refuse(e, w, err)
		return
	}
	answers := make(chan answer, 1)
	e.SubmitHeld(r.Context(), requester(r),
		request.Request{ID: rand.Text(), Image: request.Image{Inline: image}, Output: request.Output{Discard: true, Overlay: overlay}}, hold,
		func(o job.Outcome) { answers <- newAnswer(o) })
	select {
	case answered := <-answers:
		answered.write(w, kind, overlay)
	case <-r.Context().Done(): // the client went away; the worker finishes without it
	}
}

// boolean reads a query parameter that is 1, true, 0 or false; it is false where it is
// missing.
func boolean(query url.Values, name string) (bool, error) {
	if !query.Has(name) {
		return false, nil
	}
	value, err := strconv.ParseBool(query.Get(name))
	if err != nil {
		return false, request.NewError(request.CodeInvalidRequest, "the parameter "+name+" must be 1 or 0", err)
	}
	return value, nil
}

// answer is an outcome that outlives the worker's buffers.
type answer struct {
	result        request.Result
	mask, overlay []byte
}

func newAnswer(o job.Outcome) answer {
	return answer{result: o.Result, mask: bytes.Clone(o.Mask), overlay: bytes.Clone(o.Overlay)}
}

func (a answer) write(w http.ResponseWriter, kind string, overlay bool) {
	switch failure := a.result.Error; {
	case failure != nil:
		problem.WriteFailure(w, *failure)
	case kind == typeJSON:
		a.result.Mask = file(a.mask)
		if overlay {
			a.result.Overlay = file(a.overlay)
		}
		writeResult(w, a.result)
	case overlay:
		writePNG(w, a.overlay)
	default:
		writePNG(w, a.mask)
	}
}

// file describes, and holds, what was written nowhere.
func file(content []byte) *request.File {
	sum := sha256.Sum256(content)
	return &request.File{SHA256: hex.EncodeToString(sum[:]), Bytes: len(content), Base64: content}
}

func writeResult(w http.ResponseWriter, result request.Result) {
	document, err := result.Encode(0)
	if err != nil {
		problem.Write(w, err)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	_, _ = w.Write(document) // a client that has gone needs no answer
}

func writePNG(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", typePNG)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // likewise
}
