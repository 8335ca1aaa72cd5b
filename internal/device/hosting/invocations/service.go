// Package invocations answers what Amazon SageMaker asks of a container: /ping,
// /execution-parameters and /invocations.
//
// A body is told by its type or its first bytes, and answered as Accept says:
// slices with masks, request documents with result documents, scans with labels,
// figures or a DICOM SEG. The engine does the work on slices and documents,
// package scans that on scans, one after the other. Bodies are bounded before they
// are read, and nothing stays on disk. It does not listen and opens no model:
// package hosting does, and calls it.
package invocations

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/spool"
)

// Options are the settings of a Service. The zero value works, for small bodies.
type Options struct {
	// Batch tells that a transform job calls.
	Batch bool
	// MaxPayload is the largest body in bytes. Default 6 MiB, as the service's.
	MaxPayload int64
	// Spool is where scans and answers in work lie. Default one of its own, which is
	// never closed.
	Spool *spool.Spool
	// Version of the program, for DICOM objects. Default "".
	Version string
	// Logger gets the fate of scans by number. Default none.
	Logger *zap.Logger
}

const (
	// maxScans is how many scans are taken at the same time: one is in work, with
	// all workers, and the others lie on disk.
	maxScans = 4
	// maxBatchPayload is what the payloads of a transform job in work at the same
	// time may have together.
	maxBatchPayload = 100 << 20
)

// InWork is how many records keep the workers busy while others are fetched and
// answered: the queue must have room for them.
func InWork(workers int) int { return 2*workers + 2 }

// Service answers the calls of the service.
type Service struct {
	options Options

	engine  atomic.Pointer[engine.Engine] // nil before the model is ready
	numbers atomic.Uint64                 // scans that were given a number
	records chan struct{}                 // holds one for each record in work; made by Begin
	scans   chan struct{}                 // holds one for each scan that was taken
	turn    chan struct{}                 // holds one while a scan is in work

	work   context.Context // of scans; ends with Stop
	cancel context.CancelFunc
}

// New returns a service that tells to wait until Begin is called. Its end is Stop.
func New(o Options) *Service {
	if o.MaxPayload <= 0 {
		o.MaxPayload = 6 << 20
	}
	if o.Spool == nil {
		o.Spool = new(spool.Spool)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Service{options: o, scans: make(chan struct{}, maxScans), turn: make(chan struct{}, 1)}
	s.work, s.cancel = context.WithCancel(context.Background())
	return s
}

// Mount hands out what answers each path, a pattern of http.ServeMux.
func (s *Service) Mount(handle func(pattern string, h http.Handler)) {
	handle("GET /ping", http.HandlerFunc(s.ping))
	handle("GET /execution-parameters", http.HandlerFunc(s.executionParameters))
	handle("POST /invocations", http.HandlerFunc(s.invocations))
}

// Begin has the service say that it is ready, with an engine that is open until
// the last call was answered. It is called once.
func (s *Service) Begin(e *engine.Engine) {
	s.records = make(chan struct{}, InWork(e.Config().Service.Workers))
	s.engine.Store(e)
}

// Stop calls the work on scans off; they are answered as stopped.
func (s *Service) Stop() { s.cancel() }

// ping is answered 200 as soon as slices are.
func (s *Service) ping(w http.ResponseWriter, _ *http.Request) {
	if s.engine.Load() == nil {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// executionParameters tell a transform job, where it does not say so itself, how
// it should call.
func (s *Service) executionParameters(w http.ResponseWriter, _ *http.Request) {
	e := s.engine.Load()
	if e == nil {
		problem.Write(w, errNotReady)
		return
	}
	// One more than there are workers, so that none waits for the network.
	parallel := e.Config().Service.Workers + 1
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"MaxConcurrentTransforms": parallel,
		"BatchStrategy":           "MULTI_RECORD",
		"MaxPayloadInMB":          max(1, maxBatchPayload>>20/parallel),
	})
}

// invocations tells by the body's type, or its first bytes, what is asked for.
func (s *Service) invocations(w http.ResponseWriter, r *http.Request) {
	e := s.engine.Load()
	if e == nil {
		problem.Write(w, errNotReady)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.options.MaxPayload)
	if r.ContentLength > s.options.MaxPayload {
		problem.Write(w, tooLarge(s.options.MaxPayload, nil))
		return
	}
	body, content, err := contentOf(r)
	if err != nil {
		problem.Write(w, err)
		return
	}
	in := invocation{Service: s, engine: e, w: w, r: r, body: body}
	switch content {
	case contentSlice:
		in.slice()
	case contentDocument, contentLines:
		in.documents(content == contentLines)
	case contentScan:
		in.scan()
	}
}

// invocation is one call of /invocations.
type invocation struct {
	*Service
	engine *engine.Engine
	w      http.ResponseWriter
	r      *http.Request
	body   *bodyReader
}

// id is what the service calls the invocation, which it does where it is
// asynchronous.
func (in *invocation) id() string {
	if id := in.r.Header.Get("X-Amzn-Sagemaker-Inference-Id"); id != "" && len(id) <= request.MaxID && printable(id) {
		return id
	}
	return "invocation"
}

func printable(text string) bool {
	for _, c := range []byte(text) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// fails answers an invocation that came to nothing. In a transform job, an answer
// in JSON tells what is wrong with its record, so that one bad file does not fail
// the job; what may be well the next time is an error of the call, which the
// service repeats.
func (in *invocation) fails(err error, inJSON bool) {
	result := request.Failed(in.id(), err)
	result.Time = time.Now().UTC()
	document, broken := result.Encode(0)
	if broken != nil || !inJSON || !in.options.Batch || transient(result.Error.Code) {
		problem.Write(in.w, err)
		return
	}
	in.w.Header().Set("Content-Type", typeJSON)
	in.w.Write(document) // an error is the client's, who went away
}
