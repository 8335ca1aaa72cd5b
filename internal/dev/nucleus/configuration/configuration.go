// Package configuration keeps the configuration of components with the time of each
// change, and performs the operations on it: reading, merging, and telling those
// who subscribed. The two real nuclei differ in all three.
//
// It asks nobody whether a component may: the service model lets every one read
// all and change its own. The local nucleus calls it, for components and in the
// place of a deployment.
package configuration

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

// Store has the configurations of all components. Not for more than one goroutine
// at a time: the nucleus holds its lock.
type Store struct {
	components    map[string]*tree
	subscriptions []subscription
}

// subscription is a stream that is told of changes.
type subscription struct {
	stream    ipcserver.Stream
	component string   // whose configuration
	keyPath   []string // below which key
}

// Add adds a component. Under Lite the scalars of value are stored as strings.
func (s *Store) Add(component string, value map[string]any, profile ipcserver.Profile) error {
	t, err := newTree(value, profile)
	if err != nil {
		return err
	}
	if s.components == nil {
		s.components = make(map[string]*tree)
	}
	s.components[component] = t
	return nil
}

// Value returns what a component's configuration holds at a path, nothing of
// which may be changed, and whether there is a value.
func (s *Store) Value(component string, keyPath ...string) (any, bool) {
	t := s.components[component]
	if t == nil {
		return nil, false
	}
	return t.find(keyPath)
}

// Merge merges a document into the object at a path, or replaces the value there,
// as of now, and sends the events, one a leaf.
func (s *Store) Merge(component string, keyPath []string, value any) error {
	return s.merge(component, keyPath, value, time.Now().UnixMilli())
}

func (s *Store) merge(component string, path []string, value any, at int64) error {
	leaves, err := s.components[component].merge(path, value, at)
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		keys := make([]any, len(leaf))
		for i, key := range leaf {
			keys[i] = key
		}
		payload, err := document.Append(nil, map[string]any{
			"configurationUpdateEvent": map[string]any{"componentName": component, "keyPath": keys},
		})
		if err != nil {
			return err
		}
		for _, sub := range s.subscriptions {
			covered := len(sub.keyPath) <= len(leaf) && slices.Equal(sub.keyPath, leaf[:len(sub.keyPath)])
			if sub.component == component && covered {
				sub.stream.SendEvent(operation.Message("ConfigurationUpdateEvents", payload))
			}
		}
	}
	return nil
}

// Forget ends all subscriptions without a word to those who have them.
func (s *Store) Forget() { s.subscriptions = nil }

// Unsubscribe forgets the subscription of a stream, if it has one.
func (s *Store) Unsubscribe(stream ipcserver.Stream) {
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(sub subscription) bool { return sub.stream == stream })
}

// target returns the component that a request names, its own by default.
func (s *Store) target(r *operation.Request) (component string, err error) {
	name, present, err := r.Text("componentName")
	if err != nil {
		return "", err
	}
	if !present {
		return r.Stream.Component(), nil
	}
	if s.components[name] == nil && r.Profile == ipcserver.Lite && name == "aws.greengrass.Nucleus" {
		name = "aws.greengrass.NucleusLite"
	}
	if s.components[name] == nil {
		return "", keyNotFound(r)
	}
	return name, nil
}

func keyNotFound(r *operation.Request) error {
	message := "Key not found"
	if r.Profile == ipcserver.Lite {
		message += "."
	}
	return &operation.Refusal{Code: operation.CodeNotFound, Message: message}
}

// Get performs GetConfiguration.
func (s *Store) Get(r *operation.Request) (map[string]any, error) {
	component, err := s.target(r)
	if err != nil {
		return nil, err
	}
	path, err := r.Strings("keyPath")
	if err != nil {
		return nil, err
	}
	v, ok := s.components[component].find(path)
	if !ok {
		return nil, keyNotFound(r)
	}
	if r.Profile == ipcserver.Lite && hasLongInteger(v) {
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Failed to read the configuration."}
	}
	if _, isContainer := v.(map[string]any); !isContainer {
		v = map[string]any{path[len(path)-1]: v}
	}
	return map[string]any{"componentName": component, "value": v}, nil
}

// hasLongInteger reports whether nucleus lite could not read v back, because it
// garbles integers of 19 and more characters.
func hasLongInteger(v any) bool {
	long := false
	document.EachNumber(v, func(number json.Number) (any, error) {
		long = long || len(number) >= 19 && !strings.ContainsAny(number.String(), ".eE")
		return number, nil
	})
	return long
}

// Update performs UpdateConfiguration.
func (s *Store) Update(r *operation.Request) (map[string]any, error) {
	path, err := r.Strings("keyPath")
	if err != nil {
		return nil, err
	}
	value, present := r.Arguments["valueToMerge"]
	if !present || value == nil && r.Profile == ipcserver.Classic {
		return nil, r.Invalid("valueToMerge is required")
	}
	timestamp, ok := r.Arguments["timestamp"].(json.Number)
	if !ok || r.Profile == ipcserver.Lite && !strings.ContainsAny(timestamp.String(), ".eE") {
		return nil, r.Invalid("timestamp is required")
	}
	seconds, err := timestamp.Float64()
	if err != nil || seconds < 0 || seconds > 1e12 {
		return nil, r.Invalid("timestamp is out of range")
	}
	object, isObject := value.(map[string]any)
	_, touchesPolicies := object["accessControl"]
	if len(path) > 0 && path[0] == "accessControl" || len(path) == 0 && touchesPolicies {
		return nil, &operation.Refusal{Code: operation.CodeInvalid, Message: "Config update is not allowed for following field [accessControl]"}
	}
	at := int64(seconds * 1000)
	own := s.components[r.Stream.Component()]
	current, exists := own.find(path)
	_, isContainer := current.(map[string]any)
	if r.Profile == ipcserver.Classic {
		switch {
		case exists && !isContainer:
			return nil, r.Invalid("Cannot update a leaf config node")
		case !isObject:
			return nil, r.Invalid("valueToMerge must be an object")
		case exists && own.modified(path) > at:
			return nil, &operation.Refusal{
				Code: operation.CodeConflict, Message: "Proposed timestamp is older than the config's latest modified timestamp",
			}
		}
		value = document.JavaNumbers(value)
	}
	failed := &operation.Refusal{Code: operation.CodeService, Message: "Failed to update the configuration."}
	if exists && isContainer != isObject {
		return nil, failed // lite: a container cannot become a leaf, nor a leaf a container
	}
	if err := s.merge(r.Stream.Component(), path, value, at); err != nil {
		if r.Profile == ipcserver.Classic {
			return nil, r.Invalid(err.Error())
		}
		return nil, failed
	}
	return map[string]any{}, nil
}

// Subscribe performs SubscribeToConfigurationUpdate.
func (s *Store) Subscribe(r *operation.Request) (map[string]any, error) {
	component, err := s.target(r)
	if err != nil {
		return nil, err
	}
	path, err := r.Strings("keyPath")
	if err != nil {
		return nil, err
	}
	if _, ok := s.components[component].find(path); !ok {
		return nil, keyNotFound(r)
	}
	s.Unsubscribe(r.Stream) // lite takes a stream id twice
	s.subscriptions = append(s.subscriptions, subscription{r.Stream, component, path})
	return map[string]any{}, nil
}
