package recipe

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Check parses a recipe and holds it to the rules. The error lists everything
// that is wrong.
func Check(text []byte) (*Recipe, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d can be published", ErrInvalid, len(text), MaxBytes)
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var d document
	if err := decodeStrictly(&tree, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var c checks
	c.document(d)
	if len(c.errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(c.errs...))
	}
	return Parse(text)
}

// CheckTogether checks what only recipes that are deployed together can do
// wrong: two policies with one id, of which the device keeps one, and a hard
// dependency on a component that nucleus lite has no unit for, so that it
// starts neither.
func CheckTogether(recipes ...*Recipe) error {
	var errs []error
	owners := make(map[string]string)
	byName := make(map[string]*Recipe)
	for _, r := range recipes {
		byName[r.Name] = r
		for _, p := range policies(r.Configuration) {
			if other, taken := owners[p.id]; taken {
				errs = append(errs, fmt.Errorf("policy id %s is in %s and in %s", p.id, other, r.Name))
			}
			owners[p.id] = r.Name
		}
	}
	for _, r := range recipes {
		for name, dependency := range r.Dependencies {
			other := byName[name]
			if other == nil || dependency.DependencyType != "HARD" {
				continue
			}
			for _, m := range other.Manifests {
				_, starts := m.Lifecycle["startup"]
				_, runs := m.Lifecycle["run"]
				if !starts && !runs {
					errs = append(errs, fmt.Errorf("%s has a hard dependency on %s, whose manifest %s has neither startup nor run: nucleus lite would never start the first", r.Name, name, m.Name))
				}
			}
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
	}
	return nil
}
