// Package httpapi is the HTTP endpoint of the 2018 system: POST / with a
// multipart form whose field Body holds an image, answered with the mask as
// image/png. Errors are JSON with code and message.
//
// It has no access control, so it listens on loopback only. The work is package
// service's, on the same path as that of requests from other components; nothing
// is written to disk.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Field is the name of the form field that holds the image.
const Field = "Body"

// Options are the settings of a Server.
type Options struct {
	// Service does the work. Required.
	Service *engine.Service
	// MaxBytes is the largest image. Default 16 MiB.
	MaxBytes int64
	// Logger is the log. Default: none.
	Logger *zap.Logger
}

// Server is a running endpoint.
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Listen starts the endpoint on a loopback address such as 127.0.0.1:5000.
func Listen(address string, opts Options) (*Server, error) {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 16 << 20
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start the HTTP endpoint: %w", err)
	}
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("start the HTTP endpoint on %s: only loopback addresses are allowed", address)
	}
	s := &Server{
		listener: listener, done: make(chan struct{}),
		http: &http.Server{
			// No page of another origin may use a browser on this device to get in.
			Handler: http.NewCrossOriginProtection().Handler(handler(opts)), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
			IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(opts.Logger),
		},
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			opts.Logger.Error("the HTTP endpoint ended", zap.Error(err))
		}
	}()
	return s, nil
}

// Addr is the address on which the endpoint listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops listening and waits a little for requests in work.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	return err
}

func handler(opts Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		image, err := readImage(w, r, opts.MaxBytes)
		if err != nil {
			opts.Service.Refuse(err)
			answerError(w, request.AsError(err))
			return
		}
		answers := make(chan answer, 1)
		opts.Service.Submit(request.Request{ID: "http", Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, func(o engine.Outcome) {
			answers <- newAnswer(o)
		})
		select {
		case a := <-answers:
			a.write(w)
		case <-r.Context().Done(): // the client went away; the worker finishes without it
		}
	})
	return mux
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
