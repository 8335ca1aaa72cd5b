// Package httpapi is brainseg over HTTP: the endpoint of the 2018 system, POST /,
// which takes an image and answers with its mask, and requests as documents below
// /v1/requests. schemas/openapi.json describes it, docs/http.md tells of it.
//
// It is a handler without sockets: package listener says who may come in and how
// long they may take. The work is package engine's, on the same path as that of
// requests from other components. Pages and other services of the same program are
// mounted on it with [API.Handle].
package httpapi

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/spool"
)

// Options are the settings of New. The zero value works.
type Options struct {
	// Version is that of the program, for GET /version. Default "development".
	Version string
	// Spool is where scans lie that were sent, which the engine must know too. Default
	// none: scans are not taken.
	Spool *spool.Spool
}

// API answers requests by means of an engine. It may be served before there is
// one: work is then answered as starting.
type API struct {
	version string
	engine  atomic.Pointer[engine.Engine] // nil before the model is there
	mux     *http.ServeMux
	spool   *spool.Spool
	scans   chan struct{} // holds one for each scan on disk
}

// New returns an API without an engine.
func New(o Options) *API {
	if o.Version == "" {
		o.Version = "development"
	}
	a := &API{version: o.Version, mux: http.NewServeMux(), spool: o.Spool, scans: make(chan struct{}, maxScans)}
	for pattern, answer := range a.routes() {
		a.Handle(pattern, answer)
	}
	return a
}

func (a *API) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"POST /{$}":                      a.segment,
		"POST /v1/requests":              a.carryOut,
		"GET /v1/requests/{id}":          a.tellResult,
		"DELETE /v1/requests/{id}":       a.forget,
		"GET /v1/requests/{id}/{output}": a.giveOutput,
		"POST /v1/scans":                 a.segmentScan,
		"GET /healthz":                   a.healthy,
		"GET /readyz":                    a.ready,
		"GET /version":                   a.tellVersion,
	}
}

// Handle mounts a handler at a pattern of http.ServeMux. It is called before the
// API is served. The handler bounds what it reads of a body.
func (a *API) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// SetEngine has the API work with an engine, or with none.
func (a *API) SetEngine(e *engine.Engine) { a.engine.Store(e) }

// Engine is the engine that the API works with, nil before there is one.
func (a *API) Engine() *engine.Engine { return a.engine.Load() }

// Segment is what POST / does, to be mounted elsewhere.
func (a *API) Segment() http.Handler { return http.HandlerFunc(a.segment) }

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // answers show a patient
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if _, pattern := a.mux.Handler(r); pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	var refusal refusal
	a.mux.ServeHTTP(&refusal, r)
	switch refusal.status {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", refusal.Header().Get("Allow"))
		problem.Write(w, problem.New(problem.CodeMethodNotAllowed, "this path takes "+h.Get("Allow")+" only"))
	default:
		problem.Write(w, problem.New(problem.CodeNotFound, "there is nothing at this path"))
	}
}

// refusal takes the status and the header of the multiplexer's own answers, which
// are not problem documents.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header {
	if r.header == nil {
		r.header = make(http.Header)
	}
	return r.header
}

func (r *refusal) WriteHeader(status int) { r.status = status }

func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }

// requester tells clients apart by their address.
func requester(r *http.Request) job.Requester {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	return job.Requester{Way: job.WayHTTP, Client: strings.Trim(client, "[]")}
}

// working returns the engine, or answers that there is none.
func (a *API) working(w http.ResponseWriter) *engine.Engine {
	e := a.Engine()
	if e == nil {
		problem.Write(w, problem.New(problem.CodeStarting, "the model is not there yet, try again later"))
	}
	return e
}
