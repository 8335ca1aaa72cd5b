package nucleus

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// configuration is the configuration of one component with the time of the last
// change of every key, in milliseconds since 1970.
type configuration struct {
	root    map[string]any
	changed map[string]int64 // by key path joined with NUL
}

// defaultTime is the time of what comes from a recipe: any update is newer.
const defaultTime = 1

func newConfiguration(value map[string]any, profile Profile) (*configuration, error) {
	c := &configuration{root: make(map[string]any), changed: make(map[string]int64)}
	if value == nil {
		return c, nil
	}
	document, err := normalise(value)
	if err != nil {
		return nil, err
	}
	if profile == Lite {
		document = stringify(document)
	}
	c.root = document.(map[string]any)
	return c, nil
}

// find returns the value at a path and whether there is one.
func (c *configuration) find(path []string) (any, bool) {
	var v any = c.root
	for _, key := range path {
		container, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = container[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

// modified returns when the value at a path last changed.
func (c *configuration) modified(path []string) int64 {
	return max(defaultTime, c.changed[strings.Join(path, "\x00")])
}

// errNotContainer says that a path leads through a leaf.
var errNotContainer = errors.New("key path leads through a value that is not an object")

// merge merges a value into the container at path and returns the paths of the
// leaves that changed. Leaves that changed after at are left as they are.
func (c *configuration) merge(path []string, value any, at int64) ([][]string, error) {
	container := c.root
	for _, key := range path[:max(0, len(path)-1)] {
		child, ok := container[key]
		if !ok {
			child = make(map[string]any)
			container[key] = child
		}
		if container, ok = child.(map[string]any); !ok {
			return nil, errNotContainer
		}
	}
	if len(path) > 0 {
		value = map[string]any{path[len(path)-1]: value}
		path = path[:len(path)-1]
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errNotContainer
	}
	var leaves [][]string
	c.mergeInto(container, object, path, at, &leaves)
	return leaves, nil
}

func (c *configuration) mergeInto(container, value map[string]any, path []string, at int64, leaves *[][]string) {
	for _, key := range slices.Sorted(maps.Keys(value)) {
		child := value[key]
		childPath := append(slices.Clone(path), key)
		old, exists := container[key]
		if object, ok := child.(map[string]any); ok {
			target, ok := old.(map[string]any)
			if !ok {
				target = make(map[string]any)
				container[key] = target
			}
			c.mergeInto(target, object, childPath, at, leaves)
			continue
		}
		if c.modified(childPath) > at {
			continue
		}
		container[key] = clone(child)
		if !exists || !equal(old, child) {
			*leaves = append(*leaves, childPath)
		}
		for i := range len(childPath) + 1 {
			joined := strings.Join(childPath[:i], "\x00")
			c.changed[joined] = max(c.changed[joined], at)
		}
	}
}

func equal(a, b any) bool {
	x, _ := appendJSON(nil, a)
	y, _ := appendJSON(nil, b)
	return string(x) == string(y)
}

// MergeConfiguration changes the configuration of a component as a deployment
// does, accessControl included, and tells the subscribers of the changed keys.
// value is merged into the object at keyPath, or replaces the value there.
func (n *Nucleus) MergeConfiguration(component string, keyPath []string, value any) error {
	document, err := normalise(value)
	if err != nil {
		return fmt.Errorf("merge configuration of %s: %w", component, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.components[component]
	if c == nil {
		return fmt.Errorf("merge configuration of %s: %w", component, ErrUnknownComponent)
	}
	if err := n.mergeConfiguration(c, keyPath, document, time.Now().UnixMilli()); err != nil {
		return fmt.Errorf("merge configuration of %s at %q: %w", component, keyPath, err)
	}
	return nil
}

// Configuration returns a copy of what a component's configuration holds at a
// path, with numbers as json.Number, and whether there is a value.
func (n *Nucleus) Configuration(component string, keyPath ...string) (any, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.components[component]
	if c == nil {
		return nil, false
	}
	v, ok := c.config.find(keyPath)
	return clone(v), ok
}

// mergeConfiguration merges and sends the events, one a leaf. n.mu is held.
func (n *Nucleus) mergeConfiguration(c *component, path []string, value any, at int64) error {
	leaves, err := c.config.merge(path, value, at)
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		keys := make([]any, len(leaf))
		for i, key := range leaf {
			keys[i] = key
		}
		payload, err := appendJSON(nil, map[string]any{
			"configurationUpdateEvent": map[string]any{"componentName": c.name, "keyPath": keys},
		})
		if err != nil {
			return err
		}
		for _, sub := range n.configs {
			covered := len(sub.keyPath) <= len(leaf) && slices.Equal(sub.keyPath, leaf[:len(sub.keyPath)])
			if sub.component == c.name && covered {
				sub.event("ConfigurationUpdateEvents", payload)
			}
		}
	}
	return nil
}

// target returns the component that a request names, its own by default.
func (r *request) target() (*component, error) {
	name, present, err := r.text("componentName")
	if err != nil {
		return nil, err
	}
	if !present {
		return r.component, nil
	}
	c := r.n.components[name]
	if c == nil && r.n.profile == Lite && name == "aws.greengrass.Nucleus" {
		c = r.n.components["aws.greengrass.NucleusLite"]
	}
	if c == nil {
		return nil, r.keyNotFound()
	}
	return c, nil
}

func (r *request) keyNotFound() error {
	message := "Key not found"
	if r.n.profile == Lite {
		message += "."
	}
	return &refusal{code: codeNotFound, message: message}
}

func getConfiguration(r *request) (map[string]any, error) {
	c, err := r.target()
	if err != nil {
		return nil, err
	}
	path, err := r.strings("keyPath")
	if err != nil {
		return nil, err
	}
	v, ok := c.config.find(path)
	if !ok {
		return nil, r.keyNotFound()
	}
	if r.n.profile == Lite && hasLongInteger(v) {
		return nil, &refusal{code: codeService, message: "Failed to read the configuration."}
	}
	if _, isContainer := v.(map[string]any); !isContainer {
		v = map[string]any{path[len(path)-1]: v}
	}
	return map[string]any{"componentName": c.name, "value": v}, nil
}

// hasLongInteger reports whether nucleus lite could not read v back, because it
// garbles integers of 19 and more characters.
func hasLongInteger(v any) bool {
	long := false
	eachNumber(v, func(number json.Number) (any, error) {
		long = long || len(number) >= 19 && !strings.ContainsAny(number.String(), ".eE")
		return number, nil
	})
	return long
}

func updateConfiguration(r *request) (map[string]any, error) {
	path, err := r.strings("keyPath")
	if err != nil {
		return nil, err
	}
	value, present := r.args["valueToMerge"]
	if !present || value == nil && r.n.profile == Classic {
		return nil, r.invalid("valueToMerge is required")
	}
	timestamp, ok := r.args["timestamp"].(json.Number)
	if !ok || r.n.profile == Lite && !strings.ContainsAny(timestamp.String(), ".eE") {
		return nil, r.invalid("timestamp is required")
	}
	seconds, err := timestamp.Float64()
	if err != nil || seconds < 0 || seconds > 1e12 {
		return nil, r.invalid("timestamp is out of range")
	}
	object, isObject := value.(map[string]any)
	_, touchesPolicies := object["accessControl"]
	if len(path) > 0 && path[0] == "accessControl" || len(path) == 0 && touchesPolicies {
		return nil, &refusal{code: codeInvalid, message: "Config update is not allowed for following field [accessControl]"}
	}
	at := int64(seconds * 1000)
	current, exists := r.component.config.find(path)
	_, isContainer := current.(map[string]any)
	if r.n.profile == Classic {
		switch {
		case exists && !isContainer:
			return nil, r.invalid("Cannot update a leaf config node")
		case !isObject:
			return nil, r.invalid("valueToMerge must be an object")
		case exists && r.component.config.modified(path) > at:
			return nil, &refusal{
				code: codeConflict, message: "Proposed timestamp is older than the config's latest modified timestamp",
			}
		}
		value = javaNumbers(value)
	}
	failed := &refusal{code: codeService, message: "Failed to update the configuration."}
	if exists && isContainer != isObject {
		return nil, failed // lite: a container cannot become a leaf, nor a leaf a container
	}
	if err := r.n.mergeConfiguration(r.component, path, value, at); err != nil {
		if r.n.profile == Classic {
			return nil, r.invalid(err.Error())
		}
		return nil, failed
	}
	return map[string]any{}, nil
}

func subscribeToConfigurationUpdate(r *request) (map[string]any, error) {
	c, err := r.target()
	if err != nil {
		return nil, err
	}
	path, err := r.strings("keyPath")
	if err != nil {
		return nil, err
	}
	if _, ok := c.config.find(path); !ok {
		return nil, r.keyNotFound()
	}
	r.subscribe(&r.n.configs, &subscription{component: c.name, keyPath: path})
	return map[string]any{}, nil
}
