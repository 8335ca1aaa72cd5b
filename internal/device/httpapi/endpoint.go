package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
)

// PartHTTP is what the endpoint calls itself in an *engine.PartError.
const PartHTTP = "http"

// Endpoint listens where the configuration says, as a part of the engine. It
// outlives configurations: the listener stays while http.address does, and what
// is being uploaded when it does not is still answered.
type Endpoint struct {
	handler  http.Handler
	maxBytes atomic.Int64
	logger   *zap.Logger
	retired  sync.WaitGroup // servers that only finish what they have

	mu      sync.Mutex
	server  *server // guarded by mu; nil while there is no address
	retirer context.Context
	cancel  context.CancelFunc // ends the patience with retired servers
}

// New returns an endpoint for the engine, which it must be attached to.
func New(e *engine.Engine, logger *zap.Logger) *Endpoint {
	p := &Endpoint{logger: logger}
	p.retirer, p.cancel = context.WithCancel(context.Background())
	p.handler = handler(e, p.maxBytes.Load)
	return p
}

// Prepare listens on a new address, beside the old one.
func (p *Endpoint) Prepare(_ context.Context, next config.Config) (engine.Change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, replacement := p.server, p.server
	if address := next.HTTP.Address; old == nil || old.address != address && !old.listensOn(address) {
		var err error
		if replacement, err = p.listen(address); err != nil {
			return engine.Change{}, &engine.PartError{Part: PartHTTP, Summary: "the address of the HTTP endpoint cannot be listened on", Err: err}
		}
	}
	return engine.Change{
		Commit: func() {
			p.maxBytes.Store(next.Images.MaxBytes)
			if replacement == old {
				return
			}
			p.mu.Lock()
			p.server = replacement
			p.mu.Unlock()
			if replacement != nil {
				replacement.serve()
				p.logger.Info("HTTP endpoint is listening", zap.String("address", replacement.listener.Addr().String()))
			}
			if old != nil {
				old.listener.Close()
				p.retired.Go(func() { old.shutdown(p.retirer) })
			}
		},
		Abort: func() {
			if replacement != old && replacement != nil {
				replacement.listener.Close()
			}
		},
	}, nil
}

// Addr is the address on which the endpoint listens, "" for none.
func (p *Endpoint) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return ""
	}
	return p.server.listener.Addr().String()
}

// Close stops listening and waits for requests in work until ctx ends.
func (p *Endpoint) Close(ctx context.Context) error {
	p.mu.Lock()
	last := p.server
	p.server = nil
	p.mu.Unlock()
	defer context.AfterFunc(ctx, p.cancel)()
	var err error
	if last != nil {
		err = last.shutdown(ctx)
	}
	p.retired.Wait()
	p.cancel()
	return err
}

// server is one address that is listened on.
type server struct {
	address  string // as configured
	listener net.Listener
	http     *http.Server
	logger   *zap.Logger
	done     chan struct{}
}

// listensOn reports whether the address is another name for this server's.
func (s *server) listensOn(address string) bool {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	return err == nil && resolved.String() == s.listener.Addr().String()
}

// listen returns a server that does not serve yet, nil for no address.
func (p *Endpoint) listen(address string) (*server, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start the HTTP endpoint: %w", err)
	}
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("start the HTTP endpoint on %s: only loopback addresses are allowed", address)
	}
	return &server{
		address: address, listener: listener, logger: p.logger, done: make(chan struct{}),
		http: &http.Server{
			Handler: p.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
			IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(p.logger),
		},
	}, nil
}

func (s *server) serve() {
	go func() {
		defer close(s.done)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.logger.Error("the HTTP endpoint ended", zap.Error(err))
		}
	}()
}

// shutdown lets requests in work finish until ctx ends.
func (s *server) shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	return err
}
