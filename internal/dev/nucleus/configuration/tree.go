package configuration

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
)

// tree is the configuration of one component with the time of the last
// change of every key, in milliseconds since 1970.
type tree struct {
	root    map[string]any
	changed map[string]int64 // by key path joined with NUL
}

// defaultTime is the time of what comes from a recipe: any update is newer.
const defaultTime = 1

func newTree(value map[string]any, profile ipcserver.Profile) (*tree, error) {
	c := &tree{root: make(map[string]any), changed: make(map[string]int64)}
	if value == nil {
		return c, nil
	}
	content, err := document.Normalise(value)
	if err != nil {
		return nil, err
	}
	if profile == ipcserver.Lite {
		content = document.Stringify(content)
	}
	c.root = content.(map[string]any)
	return c, nil
}

// find returns the value at a path and whether there is one.
func (c *tree) find(path []string) (any, bool) {
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
func (c *tree) modified(path []string) int64 {
	return max(defaultTime, c.changed[strings.Join(path, "\x00")])
}

// errNotContainer says that a path leads through a leaf.
var errNotContainer = errors.New("key path leads through a value that is not an object")

// merge merges a value into the container at path and returns the paths of the
// leaves that changed. Leaves that changed after at are left as they are.
func (c *tree) merge(path []string, value any, at int64) ([][]string, error) {
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

func (c *tree) mergeInto(container, value map[string]any, path []string, at int64, leaves *[][]string) {
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
		container[key] = document.Clone(child)
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
	x, _ := document.Append(nil, a)
	y, _ := document.Append(nil, b)
	return string(x) == string(y)
}
