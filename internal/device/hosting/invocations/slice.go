package invocations

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// slice answers a PNG or JPEG with its mask, or with the result document.
func (in *invocation) slice() {
	kind := httpapi.Choose(in.r.Header, typePNG, typeJSON)
	if kind == "" {
		problem.Write(in.w, notAcceptable(typePNG+" or "+typeJSON))
		return
	}
	image, hold, err := in.readSlice()
	if err != nil {
		in.engine.Refuse(err)
		in.fails(err, kind == typeJSON)
		return
	}
	answers := make(chan request.Result, 1)
	in.engine.SubmitHeld(in.r.Context(), job.Requester{Way: job.WayHTTP},
		request.Request{ID: in.id(), Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, hold,
		func(o job.Outcome) { o.Claim.Release(); answers <- withMask(o) })
	select {
	case result := <-answers:
		in.answerSlice(result, kind)
	case <-in.r.Context().Done(): // the client went away; the worker finishes without it
	}
}

func (in *invocation) answerSlice(result request.Result, kind string) {
	if result.Error != nil {
		in.fails(request.NewError(result.Error.Code, result.Error.Message, nil), kind == typeJSON)
		return
	}
	if kind == typeJSON {
		document, err := result.Encode(0)
		if err != nil {
			in.fails(err, true)
			return
		}
		in.w.Header().Set("Content-Type", typeJSON)
		in.w.Write(document)
		return
	}
	in.w.Header().Set("Content-Type", typePNG)
	in.w.Header().Set("Content-Length", strconv.Itoa(len(result.Mask.Base64)))
	in.w.Write(result.Mask.Base64)
}

// withMask is the result of a request whose mask and overlay went nowhere else:
// they are in the result.
func withMask(o job.Outcome) request.Result {
	if o.Result.Error == nil && o.Result.Mask == nil {
		o.Result.Mask = inline(o.Mask)
		if o.Overlay != nil {
			o.Result.Overlay = inline(o.Overlay)
		}
	}
	return o.Result
}

func inline(content []byte) *request.File {
	sum := sha256.Sum256(content)
	return &request.File{SHA256: hex.EncodeToString(sum[:]), Bytes: len(content), Base64: bytes.Clone(content)}
}

// readSlice reads an image for which there is room.
func (in *invocation) readSlice() ([]byte, *budget.Hold, error) {
	limit := in.engine.Config().Images.MaxBytes
	expected := in.r.ContentLength
	if expected > limit {
		return nil, nil, tooLarge(limit, nil)
	}
	if expected < 0 {
		expected = limit
	}
	hold, err := in.engine.Hold(expected)
	if err != nil {
		return nil, nil, err
	}
	if in.r.ContentLength < 0 {
		expected = 64 << 10 // to begin with
	}
	image := bytes.NewBuffer(make([]byte, 0, expected+bytes.MinRead)) // which is not moved while it grows
	_, err = image.ReadFrom(io.LimitReader(in.body, limit+1))
	switch {
	case err != nil:
		err = readError(err)
	case int64(image.Len()) > limit:
		err = tooLarge(limit, nil)
	}
	if err != nil {
		hold.Release()
		return nil, nil, err
	}
	hold.Shrink(int64(image.Cap()))
	return image.Bytes(), hold, nil
}
