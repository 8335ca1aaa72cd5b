package httpapi

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// place is where the result of a request will be. Clients resolve dots in paths by
// themselves.
func place(id string) string {
	switch id {
	case ".":
		id = "%2E"
	case "..":
		id = "%2E%2E"
	default:
		id = url.PathEscape(id)
	}
	return "/v1/requests/" + id
}

// state is the answer for a request that has none yet.
type state struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

func writeState(w http.ResponseWriter, id string, stage job.Stage) {
	s := state{ID: id, State: "waiting"}
	if stage == job.StageInWork {
		s.State = "working"
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusAccepted)
	writeJSON(w, s)
}

// find looks for the request that the path names, and answers where it is unknown.
// The result is that of an answered one.
func (a *API) find(w http.ResponseWriter, r *http.Request) (_ request.Result, stage job.Stage, known bool) {
	e := a.working(w)
	if e == nil {
		return request.Result{}, 0, false
	}
	stage, document, err := e.Lookup(r.Context(), r.PathValue("id"))
	var result request.Result
	if err == nil && stage == job.StageAnswered {
		result, err = request.ParseResult(document)
	}
	switch {
	case err != nil:
		problem.Write(w, request.NewError(request.CodeStorageUnavailable, "the answers that are kept cannot be read now", err))
		return result, stage, false
	case stage == job.StageUnknown, stage == job.StageAnswered && result.Error == nil && result.Mask == nil && result.Scan == nil: // of POST /
		problem.Write(w, errUnknown)
		return result, stage, false
	}
	return result, stage, true
}

var errUnknown = problem.New(problem.CodeUnknownRequest, "no request has this id, or its answer is no longer kept")

// tellResult answers with the result of a request, whether that succeeded or failed.
func (a *API) tellResult(w http.ResponseWriter, r *http.Request) {
	result, stage, known := a.find(w, r)
	switch {
	case !known:
	case stage == job.StageAnswered:
		writeResult(w, result)
	default:
		writeState(w, r.PathValue("id"), stage)
	}
}

// forget forgets the answer of a request, or withdraws it while it waits.
func (a *API) forget(w http.ResponseWriter, r *http.Request) {
	e := a.working(w)
	if e == nil {
		return
	}
	switch err := e.Forget(r.Context(), r.PathValue("id")); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, job.ErrUnknownRequest):
		problem.Write(w, errUnknown)
	case errors.Is(err, job.ErrInWork):
		problem.Write(w, problem.New(problem.CodeUnfinished, "the request is in work and cannot be withdrawn; a scan can be called off by a request to cancel it"))
	default:
		problem.Write(w, request.NewError(request.CodeStorageUnavailable, "the request cannot be forgotten now", err))
	}
}
