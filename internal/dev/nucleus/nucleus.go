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
//
// The packages below are its parts, for no one else: ipcserver has connections and
// streams, operation what a request asks and is answered, configuration that of
// the components, accesscontrol, topicfilter and document their rules.
package nucleus

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/dev/nucleus/configuration"
	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
)

// Errors that a caller decides by.
var (
	// ErrOffline says that the cloud cannot be reached, see SetOnline.
	ErrOffline = errors.New("local nucleus is offline")
	// ErrUnsupported says that the imitated nucleus has no such function.
	ErrUnsupported = errors.New("not supported by this nucleus profile")
)

// Profile selects which of the two real nuclei is imitated. The parts know it, too;
// those who call this package need no other.
type Profile = ipcserver.Profile

// The profiles.
const (
	Classic = ipcserver.Classic
	Lite    = ipcserver.Lite
)

// ParseProfile reads the name of a profile, "classic" or "lite".
func ParseProfile(name string) (Profile, error) {
	for _, p := range []Profile{Classic, Lite} {
		if strings.EqualFold(name, p.String()) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("nucleus profile %q is unknown: use classic or lite", name)
}

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

// Nucleus is a local nucleus. Its methods, those of the server among them, may be
// called from any goroutine. Between Close and a new Start, configuration and
// states are kept.
type Nucleus struct {
	*ipcserver.Server
	profile       Profile
	subscriptions int // how many to local topics there may be, 0 for no bound
	thingName     string
	region        string
	updateTimeout time.Duration
	spoolBytes    int
	keepRich      bool
	log           *zap.Logger
	lost          atomic.Uint64 // messages that no reader of SubscribeCloud took

	mu            sync.Mutex
	states        map[string]string   // guarded by mu; by component, "" for none yet
	configuration configuration.Store // guarded by mu
	topics        []*subscription     // guarded by mu; local topics
	mute          bool                // guarded by mu; see SetPubSub
	iotCore       []*subscription     // guarded by mu
	updates       []*subscription     // guarded by mu
	update        *update             // guarded by mu; the one in progress
	cloud         cloud               // guarded by mu
}

// New makes a nucleus that does not listen yet.
func New(o Options) (*Nucleus, error) { return newWithin(o, o.Profile.Limits()) }

// newWithin makes a nucleus with bounds of the caller's choice.
func newWithin(o Options, limits ipcserver.Limits) (*Nucleus, error) {
	n := &Nucleus{
		profile: o.Profile, subscriptions: limits.Subscriptions, thingName: cmp.Or(o.ThingName, "LocalThing"), region: o.Region,
		updateTimeout: cmp.Or(o.UpdateTimeout, time.Minute), spoolBytes: cmp.Or(o.SpoolBytes, 5<<19), keepRich: o.KeepRichSubscriptions, log: o.Logger,
		states: make(map[string]string), cloud: cloud{online: true},
	}
	if n.log == nil {
		n.log = zap.NewNop()
	}
	for _, c := range o.Components {
		if c.Name == "" {
			return nil, errors.New("make local nucleus: a component has no name")
		}
		if _, twice := n.states[c.Name]; twice {
			return nil, fmt.Errorf("make local nucleus: component %s is given twice", c.Name)
		}
		if err := n.configuration.Add(c.Name, c.Configuration, o.Profile); err != nil {
			return nil, fmt.Errorf("make local nucleus: configuration of %s: %w", c.Name, err)
		}
		n.states[c.Name] = ""
	}
	server, err := ipcserver.New(ipcserver.Options{
		Profile: o.Profile, Limits: limits, SocketPath: o.SocketPath, Components: slices.Collect(maps.Keys(n.states)),
		Perform: n.perform, Ended: n.ended, Logger: n.log,
	})
	n.Server = server
	return n, err
}

// Env returns what a nucleus adds to the environment of a component's process.
func (n *Nucleus) Env(component string) []string {
	token := n.Token(component)
	env := []string{
		"SVCUID=" + token,
		"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + token,
		"AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=" + n.SocketPath(),
		"AWS_IOT_THING_NAME=" + n.thingName,
	}
	if n.profile == Classic {
		env = append(env, "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH="+n.SocketPath(), "GGC_VERSION=2.16.0")
	} else {
		env = append(env, "GGC_VERSION=2.6.0")
	}
	if n.region != "" {
		env = append(env, "AWS_REGION="+n.region, "AWS_DEFAULT_REGION="+n.region)
	}
	return env
}

// EndSubscriptions ends every subscription of the named components from the
// side of the server, with the empty frame that the protocol has for it.
func (n *Nucleus) EndSubscriptions(components ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, stream := range n.Streams(components...) {
		n.unsubscribe(stream)
		stream.End()
	}
}

// State returns what a component last reported with UpdateState, "" if nothing.
func (n *Nucleus) State(component string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.states[component]
}

// DroppedEvents returns how many events were not delivered because a reader, of
// a connection or of SubscribeCloud, did not keep up, or because they exceed the
// largest frame.
func (n *Nucleus) DroppedEvents() uint64 { return n.Dropped() + n.lost.Load() }

// MergeConfiguration changes the configuration of a component as a deployment
// does, accessControl included, and tells the subscribers of the changed keys.
// value is merged into the object at keyPath, or replaces the value there.
func (n *Nucleus) MergeConfiguration(component string, keyPath []string, value any) error {
	content, err := document.Normalise(value)
	if err != nil {
		return fmt.Errorf("merge configuration of %s: %w", component, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.states[component]; !known {
		return fmt.Errorf("merge configuration of %s: %w", component, ipcserver.ErrUnknownComponent)
	}
	if err := n.configuration.Merge(component, keyPath, content); err != nil {
		return fmt.Errorf("merge configuration of %s at %q: %w", component, keyPath, err)
	}
	return nil
}

// Configuration returns a copy of what a component's configuration holds at a
// path, with numbers as json.Number, and whether there is a value.
func (n *Nucleus) Configuration(component string, keyPath ...string) (any, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.configuration.Value(component, keyPath...)
	return document.Clone(v), ok
}

// SetPubSub takes away and brings back what passes local messages on, as when
// nucleus lite's ggpubsubd is restarted. While it is away nothing can be published
// or subscribed to. The subscriptions of before never hear anything again, and no
// frame tells so. The classic nucleus has no such part.
func (n *Nucleus) SetPubSub(on bool) error {
	if n.profile == Classic {
		return fmt.Errorf("restart local publish/subscribe alone: %w", ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = !on
	n.topics = nil // the streams stay open
	return nil
}

// ForgetConfigurationSubscriptions does what a restart of nucleus lite's ggconfigd
// does: nobody who subscribes to changes is ever told of one again, and no frame
// tells so. The classic nucleus has no such part.
func (n *Nucleus) ForgetConfigurationSubscriptions() error {
	if n.profile == Classic {
		return fmt.Errorf("restart the keeper of configurations alone: %w", ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.configuration.Forget()
	return nil
}
