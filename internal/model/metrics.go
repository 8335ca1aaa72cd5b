package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/brainseg/brainseg/internal/boundedfile"
)

// Bounds of a trainer's metrics.json, and of what of it goes into a manifest.
const (
	maxMetricsBytes = 1 << 20
	maxFigures      = 2000
	maxList         = 32
)

// ReadMetrics returns the figures in the trainer's metrics.json: its objects with
// the numbers and short lists of numbers in them; nil where there is no such
// file. Texts and other lists are left out: they may name subjects.
func ReadMetrics(path string) (map[string]any, error) {
	document, err := boundedfile.Read(path, maxMetricsBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	n := 0
	metrics, _ := figures(value, &n).(map[string]any)
	if n > maxFigures {
		return nil, fmt.Errorf("%s has %d figures, and at most %d go into a manifest", path, n, maxFigures)
	}
	return metrics, nil
}

// figures returns what is to be kept of value, nil for nothing, and counts it.
func figures(value any, n *int) any {
	switch v := value.(type) {
	case float64:
		*n++
		return v
	case []any:
		if len(v) == 0 || len(v) > maxList || slices.ContainsFunc(v, func(e any) bool { _, ok := e.(float64); return !ok }) {
			return nil
		}
		*n += len(v)
		return v
	case map[string]any:
		kept := make(map[string]any)
		for name, inner := range v {
			if k := figures(inner, n); k != nil {
				kept[name] = k
			}
		}
		if len(kept) > 0 {
			return kept
		}
	}
	return nil
}
