package httpapi

import (
	"crypto/rand"
	"mime"
	"net/http"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// carryOut answers a request document with its result, or, where the client prefers
// that and requests are kept, with the place where the result will be.
func (a *API) carryOut(w http.ResponseWriter, r *http.Request) {
	e := a.working(w)
	if e == nil {
		return
	}
	asked, hold, err := receiveDocument(e, w, r)
	if err == nil && Choose(r.Header, typeJSON) == "" {
		hold.Release()
		err = problem.New(problem.CodeNotAcceptable, "the answer is application/json, and Accept does not take it")
	}
	if err != nil {
		refuse(e, w, err)
		return
	}
	if asked.Cancel {
		if !e.Cancel(r.Context(), asked.ID) {
			problem.Write(w, problem.New(problem.CodeUnknownRequest, "there is no scan with this id that could be called off: it is answered, or has not come yet"))
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	asked.Acknowledge = e.Keeps() && prefers(r.Header, "respond-async")
	answers := make(chan request.Result, 2) // the acknowledgement, and the answer that may follow it
	e.SubmitHeld(r.Context(), requester(r), asked, hold, func(o job.Outcome) {
		o.Claim.Release() // the answer goes on its way
		answers <- o.Result
	})
	select {
	case result := <-answers:
		switch {
		case result.Error != nil:
			problem.WriteFailure(w, *result.Error)
		case result.Status == request.StatusAccepted:
			w.Header().Set("Location", place(asked.ID))
			w.Header().Set("Preference-Applied", "respond-async")
			writeState(w, asked.ID, job.StageWaiting)
		default:
			writeResult(w, result)
		}
	case <-r.Context().Done(): // the client went away; the worker finishes without it
	}
}

// receiveDocument reads a request document, and gives it an id where it has none.
// The hold is for the image in it; there is none for one that is elsewhere. Its
// errors are *request.Error.
func receiveDocument(e *engine.Engine, w http.ResponseWriter, r *http.Request) (request.Request, *budget.Hold, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != typeJSON {
		w.Header().Set("Accept-Post", typeJSON)
		return request.Request{}, nil, problem.New(problem.CodeUnsupportedType, "the body must be "+typeJSON)
	}
	images := e.Config().Images.MaxBytes
	limit := images/3*4 + formOverhead // base64 takes four bytes for three
	document, hold, err := receive(e, http.MaxBytesReader(w, r.Body, limit), r.ContentLength, limit)
	if err != nil {
		return request.Request{}, nil, err
	}
	asked, err := request.Parse(document)
	if err != nil {
		hold.Release()
		return request.Request{}, nil, err
	}
	hold.Shrink(int64(cap(asked.Image.Inline)))
	if asked.Image.Inline == nil {
		hold.Release()
		hold = nil // the engine makes room when it fetches the image
	}
	if asked.ID == "" {
		asked.ID = rand.Text()
	}
	return asked, hold, nil
}
