package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Bounds of a connection, beside those of its bodies.
const (
	headerTime  = 5 * time.Second  // for the header of a request to come
	idleTime    = 60 * time.Second // between two requests
	writeTime   = 30 * time.Second // for each part of an answer to be taken
	maxHeader   = 16 << 10         // bytes of a header
	leftoverFor = 2 * time.Second  // for a body that nobody wants to come to its end
	leftover    = 16 << 20         // bytes of it that are read, so that the client gets to read our answer
)

// server is one address that is listened on.
type server struct {
	address string // as configured
	socket  *socket
	http    *http.Server
	logger  *zap.Logger
	done    chan struct{}
}

func newServer(l *Listener, address string, listener net.Listener) *server {
	s := &server{address: address, socket: newSocket(listener, l.rules.Load), logger: l.logger, done: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler: http.HandlerFunc(l.serve), Protocols: protocols,
		DisableGeneralOptionsHandler: true, // which would let OPTIONS * past every rule
		ReadHeaderTimeout:            headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if secure, ok := c.(*tls.Conn); ok {
				c = secure.NetConn()
			}
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	// What it tells is what strangers do, as often as they like.
	s.http.ErrorLog, _ = zap.NewStdLogAt(l.logger, zap.DebugLevel) // fails for unknown levels only
	for _, f := range l.onShutdown {
		s.http.RegisterOnShutdown(f)
	}
	return s
}

type connKey struct{}

// listensOn reports whether the address is another name for this server's.
func (s *server) listensOn(address string) bool {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	return err == nil && resolved.String() == s.socket.Addr().String()
}

func (s *server) serve() {
	go func() {
		defer close(s.done)
		if err := s.http.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.logger.Error("the HTTP endpoint ended", zap.Error(err))
		}
	}()
}

// shutdown lets requests in work finish until ctx ends.
func (s *server) shutdown(ctx context.Context) error {
	s.socket.Close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	return err
}
