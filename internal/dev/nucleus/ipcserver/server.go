// Package ipcserver is the side of the server of Greengrass IPC on a Unix socket:
// who may connect, frames, streams and their bounds, as the classic nucleus or
// nucleus lite have them. A client that breaks the protocol loses its connection,
// one that does not read holds up nobody else.
//
// It knows of no operation: whoever makes a Server is given the first frame of
// every stream and answers it. The local nucleus does.
package ipcserver

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Errors that a caller decides by.
var (
	// ErrUnknownComponent says that a component is not one of Options.Components.
	ErrUnknownComponent = errors.New("component is not known to the local nucleus")
	// ErrRunning says that Start was called twice.
	ErrRunning = errors.New("local nucleus is already running")
)

// Options configure a Server. All but SocketPath have to be set.
type Options struct {
	Profile Profile
	Limits  Limits
	// SocketPath is the Unix socket, at most 107 bytes. Default: a socket in a
	// new private directory (mode 0700), which Close removes.
	SocketPath string
	// Components are the names of those who may connect, each with its token.
	Components []string
	// Perform takes the first frame of a stream and answers with Send. A
	// connection calls it for one frame after the other.
	Perform func(Stream, *frame.Frame)
	// Ended is told of each stream that was kept open when the client ended it
	// or its connection is over. It is not called from within Perform.
	Ended  func(Stream)
	Logger *zap.Logger
}

// Server is a server of Greengrass IPC. Its methods may be called from any
// goroutine.
type Server struct {
	o       Options
	ownDir  string // directory of the socket to remove, "" where the caller gave a path
	dropped atomic.Uint64

	mu          sync.Mutex           // may be taken with a lock of the caller's held
	listener    net.Listener         // guarded by mu; nil while stopped
	stopContext func() bool          // guarded by mu
	tokens      map[string]string    // guarded by mu; component to its token
	admitted    map[string]string    // guarded by mu; token to component
	connections map[*connection]bool // guarded by mu
	strangers   int                  // guarded by mu; connections without a component
	wg          sync.WaitGroup       // goroutines of the listener and connections
}

// New makes a server that does not listen yet.
func New(o Options) (*Server, error) {
	s := &Server{o: o, tokens: make(map[string]string), admitted: make(map[string]string), connections: make(map[*connection]bool)}
	for _, component := range o.Components {
		s.renew(component)
	}
	if o.SocketPath == "" {
		dir, err := os.MkdirTemp("", "nucleus-")
		if err != nil {
			return nil, fmt.Errorf("make local nucleus: %w", err)
		}
		s.ownDir, s.o.SocketPath = dir, filepath.Join(dir, "ipc.socket")
	}
	if path := s.o.SocketPath; len(path) > 107 {
		if s.ownDir != "" {
			os.Remove(s.ownDir)
		}
		return nil, fmt.Errorf("make local nucleus: socket path of %d bytes is longer than the 107 that a Unix socket allows: choose a shorter one", len(path))
	}
	return s, nil
}

// renew gives a component a new token, of the form that nucleus lite uses, in
// place of the old one.
func (s *Server) renew(component string) {
	var b [12]byte
	rand.Read(b[:])
	delete(s.admitted, s.tokens[component])
	token := base64.StdEncoding.EncodeToString(b[:])
	s.tokens[component], s.admitted[token] = token, component
}

// Start listens and serves until Close is called or ctx is done. A closed
// server may be started again: tokens are kept.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return ErrRunning
	}
	if s.ownDir != "" {
		if err := os.MkdirAll(s.ownDir, 0o700); err != nil {
			return fmt.Errorf("start local nucleus: %w", err)
		}
	}
	if err := removeStaleSocket(s.o.SocketPath); err != nil {
		return fmt.Errorf("start local nucleus: %w", err)
	}
	listener, err := net.Listen("unix", s.o.SocketPath)
	if err != nil {
		return fmt.Errorf("start local nucleus: %w", err)
	}
	s.listener = listener
	s.stopContext = context.AfterFunc(ctx, func() { s.stop(listener) })
	s.wg.Add(1)
	go s.accept(listener)
	s.o.Logger.Info("local nucleus listens", zap.String("socket", s.o.SocketPath), zap.Stringer("profile", s.o.Profile))
	return nil
}

// removeStaleSocket removes a socket that a process left behind, and nothing else.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: remove it or choose another path", path)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return fmt.Errorf("%s is served by another process: stop it or choose another path", path)
	}
	return os.Remove(path)
}

// Close ends all connections, stops listening and waits for every goroutine.
func (s *Server) Close() error {
	s.mu.Lock()
	listener := s.listener
	s.mu.Unlock()
	if listener != nil {
		s.stop(listener)
	}
	s.wg.Wait()
	if s.ownDir != "" {
		return os.RemoveAll(s.ownDir)
	}
	return nil
}

// Restart does what components see when the nucleus, or nucleus lite's ggipcd
// alone, dies and is started again: their connections end without a frame, the
// socket is away for a moment, and their tokens are new; the old ones are refused
// from now on. What stands behind the server is kept.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Close(); err != nil {
		return fmt.Errorf("restart local nucleus: %w", err)
	}
	s.mu.Lock()
	clear(s.admitted)
	for _, component := range s.o.Components {
		s.renew(component)
	}
	s.mu.Unlock()
	return s.Start(ctx)
}

// stop closes listener, if it is still the current one, and all connections.
func (s *Server) stop(listener net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != listener {
		return
	}
	s.listener = nil
	s.stopContext()
	listener.Close() // removes the socket file too
	for c := range s.connections {
		c.conn.Close()
	}
}

// accept takes connections until the listener is closed.
func (s *Server) accept(listener net.Listener) {
	defer s.wg.Done()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.o.Logger.Warn("accept connection", zap.Error(err))
			time.Sleep(10 * time.Millisecond) // out of file descriptors: let some close
			continue
		}
		s.mu.Lock()
		full := s.strangers >= s.o.Limits.Strangers || s.o.Limits.Connections > 0 && len(s.connections) >= s.o.Limits.Connections
		if s.listener != listener || full {
			s.mu.Unlock()
			conn.Close()
			continue
		}
		c := newConnection(s, conn)
		s.connections[c] = true
		s.strangers++
		s.wg.Add(2)
		s.mu.Unlock()
		go c.serve()
		go c.write()
	}
}

// SocketPath returns the path of the Unix socket.
func (s *Server) SocketPath() string { return s.o.SocketPath }

// Token returns the SVCUID of a component, "" if it is not known.
func (s *Server) Token(component string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[component]
}

// Holder returns the component that a token was given to, and whether it is good.
func (s *Server) Holder(token string) (component string, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	component, good = s.admitted[token]
	return component, good
}

// Admit takes a token of the caller's choice for a component, beside its own.
func (s *Server) Admit(token, component string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted[token] = component
}

// Revoke replaces the token of a component: the old one is refused from now on,
// Token returns the new one. Connections stay; see DropConnections.
func (s *Server) Revoke(component string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[component] == "" {
		return fmt.Errorf("revoke token of %s: %w", component, ErrUnknownComponent)
	}
	s.renew(component)
	return nil
}

// DropConnections closes the connections of the named components without a
// frame, as a nucleus that dies does; without names it closes all.
func (s *Server) DropConnections(components ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		drop := len(components) == 0
		for _, name := range components {
			drop = drop || c.component == name
		}
		if drop {
			c.conn.Close()
		}
	}
}

// Ping sends a ping to every connected client of the classic profile. The real
// nucleus never does by itself, but the protocol allows it.
func (s *Server) Ping(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		if c.component != "" && s.o.Profile == Classic {
			c.sendEvent(&frame.Frame{Type: frame.Ping, Payload: payload})
		}
	}
}

// Connected returns how many connections a component has; "" counts those that
// have shown no token.
func (s *Server) Connected(component string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for c := range s.connections {
		if c.component == component {
			count++
		}
	}
	return count
}

// Dropped returns how many events were not sent because the reader of their
// connection did not keep up, or because they exceed the largest frame.
func (s *Server) Dropped() uint64 { return s.dropped.Load() }
