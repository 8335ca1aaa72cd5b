package httpapi

import (
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// version is the answer to GET /version.
type version struct {
	Version string         `json:"version"`
	Commit  string         `json:"commit,omitempty"` // where the program was built in its repository
	Go      string         `json:"go"`
	Model   *request.Model `json:"model,omitempty"` // absent before it is there
}

// healthy answers GET /healthz: the process serves.
func (a *API) healthy(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Status string `json:"status"`
	}{"ok"})
}

// ready answers GET /readyz: requests are taken.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	e := a.working(w)
	switch {
	case e == nil:
	case e.Model() == (request.Model{}):
		problem.Write(w, request.NewError(request.CodeStopping, "the component is being stopped", nil))
	default:
		a.healthy(w, r)
	}
}

func (a *API) tellVersion(w http.ResponseWriter, _ *http.Request) {
	v := version{Version: a.version, Go: runtime.Version()}
	if info, known := debug.ReadBuildInfo(); known {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v.Commit = setting.Value
			}
		}
	}
	if e := a.Engine(); e != nil {
		if model := e.Model(); model != (request.Model{}) {
			v.Model = &model
		}
	}
	writeJSON(w, v)
}

// writeJSON answers with a document that always can be encoded.
func writeJSON(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // a client that has gone needs no answer
}
