// Package listener says who may use a handler over HTTP, and for how long: it owns
// sockets, TLS, tokens and limits.
//
//   - Beyond loopback nobody gets in without a token or a certificate of theirs.
//   - Requests are for this host and by no page of another origin: a browser on the
//     device is no way in.
//   - Headers, bodies and answers must move on, else the connection is cut. There
//     are only so many connections, and where all are taken, the one that has kept
//     us waiting longest makes room, so that many slow ones do not keep good
//     clients out.
//   - One client has so many requests and bytes a second.
//
// It speaks HTTP/1.1 only: one image a request gains nothing from HTTP/2, whose
// streams can be opened and reset by the thousand on one connection.
//
// It knows no path and reads no body; the handler does. A listener is a part of the
// engine: it follows the configuration, and the socket stays while the address does.
// Packages greengrass and cli call it.
package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
)

// PartHTTP is what the listener calls itself in a *parts.Error.
const PartHTTP = "http"

// Settings say where to listen and whom to let in. Files that they name are read
// when they are applied.
type Settings struct {
	config.HTTP
	// Trusted lets everybody in who can reach the address, under whatever name: the
	// network around has its own guard, as that of a container on SageMaker. It
	// is not for networks that people are in. Default false.
	Trusted bool
}

// ErrSettings says that a token or a certificate cannot be used, or that nothing
// would guard the address.
var ErrSettings = errors.New("the HTTP endpoint cannot be guarded")

// Listener serves a handler where its settings say. Its methods may be called
// concurrently.
type Listener struct {
	handler    http.Handler
	logger     *zap.Logger
	onShutdown []func()
	clients    clients
	rules      atomic.Pointer[rules] // in effect; nil before the first settings
	retired    sync.WaitGroup        // servers that only finish what they have

	mu      sync.Mutex
	server  *server // guarded by mu; nil while there is no address
	retirer context.Context
	cancel  context.CancelFunc // ends the patience with retired servers
}

// New returns a listener for a handler that listens nowhere yet: it must be attached
// to an engine, or told by Listen.
func New(handler http.Handler, logger *zap.Logger) *Listener {
	l := &Listener{handler: handler, logger: logger}
	l.retirer, l.cancel = context.WithCancel(context.Background())
	return l
}

// OnShutdown has f called, in a goroutine of its own, whenever an address is left:
// it ends answers that would never end by themselves. It is called before anything
// listens.
func (l *Listener) OnShutdown(f func()) { l.onShutdown = append(l.onShutdown, f) }

// Prepare gets ready for another configuration: it listens on a new address, beside
// the old one.
func (l *Listener) Prepare(ctx context.Context, next config.Config) (parts.Change, error) {
	change, err := l.prepare(ctx, Settings{HTTP: next.HTTP})
	if err == nil {
		return change, nil
	}
	summary := "the address of the HTTP endpoint cannot be listened on"
	if errors.Is(err, ErrSettings) {
		summary = "the settings of the HTTP endpoint cannot be used"
	}
	return parts.Change{}, &parts.Error{Part: PartHTTP, Summary: summary, Err: err}
}

// Listen goes over to the settings. It returns when requests are taken, or says why
// they cannot be.
func (l *Listener) Listen(ctx context.Context, s Settings) error {
	change, err := l.prepare(ctx, s)
	if err != nil {
		return err
	}
	change.Commit()
	return nil
}

func (l *Listener) prepare(ctx context.Context, s Settings) (parts.Change, error) {
	next, err := newRules(s, l.rules.Load())
	if err != nil {
		return parts.Change{}, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, replacement := l.server, l.server
	if old == nil || old.address != s.Address && !old.listensOn(s.Address) {
		if replacement, err = l.listen(ctx, s.Address); err != nil {
			return parts.Change{}, fmt.Errorf("start the HTTP endpoint: %w", err)
		}
	}
	letGo := func() {
		if replacement != old && replacement != nil {
			replacement.socket.Close()
		}
	}
	if replacement != nil {
		if err := next.guards(replacement.socket.Addr()); err != nil {
			letGo()
			return parts.Change{}, fmt.Errorf("%w on %s: %w", ErrSettings, s.Address, err)
		}
	}
	return parts.Change{Abort: letGo, Commit: func() {
		if old != nil && replacement != old {
			old.socket.retired.Store(true)
		}
		l.rules.Store(next)
		l.mu.Lock()
		l.server = replacement
		l.mu.Unlock()
		if replacement == old {
			return
		}
		if replacement != nil {
			replacement.serve()
			l.logger.Info("HTTP endpoint is listening", zap.Stringer("address", replacement.socket.Addr()), zap.Bool("tls", next.tls != nil), zap.Bool("token", next.wantsToken))
		}
		if old != nil {
			old.socket.Close()
			l.retired.Go(func() { _ = old.shutdown(l.retirer) })
		}
	}}, nil
}

// Addr is the address on which is listened, "" for none.
func (l *Listener) Addr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil {
		return ""
	}
	return l.server.socket.Addr().String()
}

// Close stops listening and waits for requests in work until ctx ends.
func (l *Listener) Close(ctx context.Context) error {
	l.mu.Lock()
	last := l.server
	l.server = nil
	l.mu.Unlock()
	defer context.AfterFunc(ctx, l.cancel)()
	var err error
	if last != nil {
		err = last.shutdown(ctx)
	}
	l.retired.Wait()
	l.cancel()
	return err
}

// listen returns a server that does not serve yet, nil for no address.
func (l *Listener) listen(ctx context.Context, address string) (*server, error) {
	if address == "" {
		return nil, nil
	}
	var system net.ListenConfig
	socket, err := system.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newServer(l, address, socket), nil
}
