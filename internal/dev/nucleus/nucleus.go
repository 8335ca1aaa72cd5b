// Package nucleus is a local Greengrass nucleus for development and tests: the
// server side of Greengrass IPC on a Unix socket, without a core device and
// without AWS. It serves local publish/subscribe, an IoT Core that loops back,
// configuration, component states and component updates, holds components to
// their accessControl policies, and imitates the classic nucleus or nucleus
// lite in the places where a component notices the difference. What would only
// hinder work is not imitated: that a reader which does not drain its
// connection stalls nucleus lite for everybody, and that it can lock up for
// ever when a connection with a busy subscription is closed.
//
// It starts no processes, deploys nothing and speaks with no cloud: Env gives
// the environment for a child process, and the methods of Nucleus take the part
// of the cloud and of deployments. The command "brainseg local" and tests of
// the component and of the IPC client run it.
package nucleus

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Errors that a caller decides by.
var (
	// ErrUnknownComponent says that no component of that name was given to New.
	ErrUnknownComponent = errors.New("component is not known to the local nucleus")
	// ErrOffline says that the cloud cannot be reached, see SetOnline.
	ErrOffline = errors.New("local nucleus is offline")
	// ErrUnsupported says that the imitated nucleus has no such function.
	ErrUnsupported = errors.New("not supported by this nucleus profile")
	// ErrRunning says that Start was called twice.
	ErrRunning = errors.New("local nucleus is already running")
)

// Component is one deployed component.
type Component struct {
	// Name as in the recipe, "com.example.Brain".
	Name string
	// Configuration is ComponentConfiguration.DefaultConfiguration of the
	// recipe, accessControl included. Under Lite its scalars are stored as
	// strings, as the real one does with what comes from YAML.
	Configuration map[string]any
}

// Options configure a Nucleus. Only Components has to be set.
type Options struct {
	// Profile is the imitated nucleus. Default: Classic.
	Profile Profile
	// SocketPath is the Unix socket, at most 107 bytes. Default: a socket in a
	// new private directory (mode 0700), which Close removes.
	SocketPath string
	// Components are the deployed components.
	Components []Component
	// ThingName is the name of the core device. Default: "LocalThing".
	ThingName string
	// Region is given to components as AWS_REGION. Default: none.
	Region string
	// UpdateTimeout is for how long BeginUpdate waits for the components.
	// Default: 60 s, as in a deployment.
	UpdateTimeout time.Duration
	// SpoolBytes is how much the classic nucleus keeps for IoT Core while it is
	// offline. Default: 2.5 MiB.
	SpoolBytes int
	// KeepRichSubscriptions spares the subscriptions that nucleus lite loses,
	// without a word, to a jsonMessage of more than about 44 values. Default:
	// they are lost, as on the real one.
	KeepRichSubscriptions bool
	// Logger receives what the nucleus does, at debug level and never a
	// payload. Default: none.
	Logger *zap.Logger
}

// Nucleus is a local nucleus. Its methods may be called from any goroutine.
type Nucleus struct {
	profile       Profile
	limits        limits
	strangerTime  time.Duration
	thingName     string
	region        string
	updateTimeout time.Duration
	spoolBytes    int
	keepRich      bool
	log           *zap.Logger
	path          string
	ownDir        string // directory to remove, "" where the caller gave a path
	dropped       atomic.Uint64

	mu          sync.Mutex
	listener    net.Listener          // guarded by mu; nil while stopped
	stopContext func() bool           // guarded by mu
	components  map[string]*component // guarded by mu
	tokens      map[string]string     // guarded by mu; token to component
	connections map[*connection]bool  // guarded by mu
	strangers   int                   // guarded by mu; connections without a component
	topics      []*subscription       // guarded by mu; local topics
	mute        bool                  // guarded by mu; see SetPubSub
	iotCore     []*subscription       // guarded by mu
	configs     []*subscription       // guarded by mu
	updates     []*subscription       // guarded by mu
	update      *update               // guarded by mu; the one in progress
	cloud       cloud                 // guarded by mu
	wg          sync.WaitGroup        // goroutines of the listener and connections
}

// component is what the nucleus knows of one component.
type component struct {
	name   string
	token  string
	config *configuration
	state  string
}

// New makes a nucleus that does not listen yet.
func New(o Options) (*Nucleus, error) {
	n := &Nucleus{
		profile: o.Profile, limits: o.Profile.limits(), strangerTime: strangerTime, thingName: o.ThingName, region: o.Region,
		updateTimeout: o.UpdateTimeout, spoolBytes: o.SpoolBytes, keepRich: o.KeepRichSubscriptions, log: o.Logger, path: o.SocketPath,
		components: make(map[string]*component), tokens: make(map[string]string), connections: make(map[*connection]bool),
		cloud: cloud{online: true},
	}
	if n.thingName == "" {
		n.thingName = "LocalThing"
	}
	if n.updateTimeout == 0 {
		n.updateTimeout = time.Minute
	}
	if n.spoolBytes == 0 {
		n.spoolBytes = 5 << 19
	}
	if n.log == nil {
		n.log = zap.NewNop()
	}
	for _, c := range o.Components {
		if c.Name == "" {
			return nil, errors.New("make local nucleus: a component has no name")
		}
		if n.components[c.Name] != nil {
			return nil, fmt.Errorf("make local nucleus: component %s is given twice", c.Name)
		}
		config, err := newConfiguration(c.Configuration, o.Profile)
		if err != nil {
			return nil, fmt.Errorf("make local nucleus: configuration of %s: %w", c.Name, err)
		}
		added := &component{name: c.Name, token: newToken(), config: config}
		n.components[c.Name] = added
		n.tokens[added.token] = c.Name
	}
	if n.path == "" {
		dir, err := os.MkdirTemp("", "nucleus-")
		if err != nil {
			return nil, fmt.Errorf("make local nucleus: %w", err)
		}
		n.ownDir, n.path = dir, filepath.Join(dir, "ipc.socket")
	}
	if len(n.path) > 107 {
		if n.ownDir != "" {
			os.Remove(n.ownDir)
		}
		return nil, fmt.Errorf("make local nucleus: socket path of %d bytes is longer than the 107 that a Unix socket allows: choose a shorter one", len(n.path))
	}
	return n, nil
}

// newToken makes a SVCUID of the form that nucleus lite uses.
func newToken() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

// Start listens and serves until Close is called or ctx is done. A closed
// nucleus may be started again: tokens, configuration and states are kept.
func (n *Nucleus) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		return ErrRunning
	}
	if n.ownDir != "" {
		if err := os.MkdirAll(n.ownDir, 0o700); err != nil {
			return fmt.Errorf("start local nucleus: %w", err)
		}
	}
	if err := removeStaleSocket(n.path); err != nil {
		return fmt.Errorf("start local nucleus: %w", err)
	}
	listener, err := net.Listen("unix", n.path)
	if err != nil {
		return fmt.Errorf("start local nucleus: %w", err)
	}
	n.listener = listener
	n.stopContext = context.AfterFunc(ctx, func() { n.stop(listener) })
	n.wg.Add(1)
	go n.accept(listener)
	n.log.Info("local nucleus listens", zap.String("socket", n.path), zap.Stringer("profile", n.profile))
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
func (n *Nucleus) Close() error {
	n.mu.Lock()
	listener := n.listener
	n.mu.Unlock()
	if listener != nil {
		n.stop(listener)
	}
	n.wg.Wait()
	if n.ownDir != "" {
		return os.RemoveAll(n.ownDir)
	}
	return nil
}

// stop closes listener, if it is still the current one, and all connections.
func (n *Nucleus) stop(listener net.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != listener {
		return
	}
	n.listener = nil
	n.stopContext()
	listener.Close() // removes the socket file too
	for c := range n.connections {
		c.conn.Close()
	}
}

// accept takes connections until the listener is closed.
func (n *Nucleus) accept(listener net.Listener) {
	defer n.wg.Done()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.log.Warn("accept connection", zap.Error(err))
			time.Sleep(10 * time.Millisecond) // out of file descriptors: let some close
			continue
		}
		n.mu.Lock()
		full := n.strangers >= strangers || n.limits.connections > 0 && len(n.connections) >= n.limits.connections
		if n.listener != listener || full {
			n.mu.Unlock()
			conn.Close()
			continue
		}
		c := newConnection(n, conn)
		n.connections[c] = true
		n.strangers++
		n.wg.Add(2)
		n.mu.Unlock()
		go c.serve()
		go c.write()
	}
}

// SocketPath returns the path of the Unix socket.
func (n *Nucleus) SocketPath() string { return n.path }

// Token returns the SVCUID of a component, "" if it is not known.
func (n *Nucleus) Token(component string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.components[component]; c != nil {
		return c.token
	}
	return ""
}

// Env returns what a nucleus adds to the environment of a component's process.
func (n *Nucleus) Env(component string) []string {
	token := n.Token(component)
	env := []string{
		"SVCUID=" + token,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + token,
		"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=" + n.path,
		"AWS_IOT_THING_NAME=" + n.thingName,
	}
	if n.profile == Classic {
		env = append(env, "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH="+n.path, "GGC_VERSION=2.16.0")
	} else {
		env = append(env, "GGC_VERSION=2.6.0")
	}
	if n.region != "" {
		env = append(env, "AWS_REGION="+n.region, "AWS_DEFAULT_REGION="+n.region)
	}
	return env
}

// Revoke replaces the token of a component: the old one is refused from now on,
// Token returns the new one. Connections stay; see DropConnections.
func (n *Nucleus) Revoke(component string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.components[component]
	if c == nil {
		return fmt.Errorf("revoke token of %s: %w", component, ErrUnknownComponent)
	}
	delete(n.tokens, c.token)
	c.token = newToken()
	n.tokens[c.token] = component
	return nil
}

// DropConnections closes the connections of the named components without a
// frame, as a nucleus that dies does; without names it closes all.
func (n *Nucleus) DropConnections(components ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.connections {
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
func (n *Nucleus) Ping(payload []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.connections {
		if c.component != "" && n.profile == Classic {
			c.sendEvent(&frame.Frame{Type: frame.Ping, Payload: payload})
		}
	}
}

// EndSubscriptions ends every subscription of the named components from the
// side of the server, with the empty frame that the protocol has for it.
func (n *Nucleus) EndSubscriptions(components ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.connections {
		if !slices.Contains(components, c.component) {
			continue
		}
		for stream, sub := range c.streams {
			n.unsubscribe(sub)
			delete(c.streams, stream)
			c.sendEvent(&frame.Frame{Flags: frame.TerminateStream, StreamID: stream})
		}
	}
}

// State returns what a component last reported with UpdateState, "" if nothing.
func (n *Nucleus) State(component string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.components[component]; c != nil {
		return c.state
	}
	return ""
}

// DroppedEvents returns how many events were not delivered because a reader, of
// a connection or of SubscribeCloud, did not keep up, or because they exceed the
// largest frame.
func (n *Nucleus) DroppedEvents() uint64 { return n.dropped.Load() }
