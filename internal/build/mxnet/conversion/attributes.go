package conversion

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/build/mxnet"
)

// attributes reads the parameters of a node in MXNet's spelling. The first one
// that is wrong is kept; those after it read as their defaults.
type attributes struct {
	Values map[string]string
	read   map[string]bool
	Err    error
}

// newAttributes reads those of a node.
func newAttributes(values map[string]string) *attributes {
	return &attributes{Values: values, read: make(map[string]bool)}
}

// Get returns a value as it is written.
func (a *attributes) Get(key string) (string, bool) {
	a.read[key] = true
	value, ok := a.Values[key]
	return strings.TrimSpace(value), ok
}

func (a *attributes) fail(key, want string) {
	if a.Err == nil {
		a.Err = fmt.Errorf("%w: attribute %s is %q and must be %s", mxnet.ErrUnsupported, key, a.Values[key], want)
	}
}

// text returns a name.
func (a *attributes) text(key, otherwise string) string {
	if value, ok := a.Get(key); ok {
		return value
	}
	return otherwise
}

// Choice returns one of the names given; the first is the default.
func (a *attributes) Choice(key string, choices ...string) string {
	value := a.text(key, choices[0])
	if !slices.Contains(choices, value) {
		a.fail(key, strings.Join(choices, " or "))
		return choices[0]
	}
	return value
}

// Flag returns a truth value.
func (a *attributes) Flag(key string, otherwise bool) bool {
	value, ok := a.Get(key)
	if !ok {
		return otherwise
	}
	switch strings.ToLower(value) {
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	a.fail(key, "True or False")
	return otherwise
}

// Integer returns a whole number of at most 31 bits.
func (a *attributes) Integer(key string, otherwise int64) int64 {
	value, ok := a.Get(key)
	if !ok {
		return otherwise
	}
	n, err := parseInteger(value)
	if err != nil {
		a.fail(key, "a whole number")
		return otherwise
	}
	return n
}

// Count returns a whole number above zero that must be given.
func (a *attributes) Count(key string) int64 {
	n := a.Integer(key, 0)
	if n < 1 {
		a.fail(key, "a whole number above 0")
		return 1
	}
	return n
}

// Optional is integer for those that may be None.
func (a *attributes) Optional(key string) (n int64, given bool) {
	if value, ok := a.Get(key); !ok || value == "None" || value == "" {
		return 0, false
	}
	return a.Integer(key, 0), true
}

// Number returns a real number.
func (a *attributes) Number(key string, otherwise float64) float64 {
	value, ok := a.Get(key)
	if !ok {
		return otherwise
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(f) {
		a.fail(key, "a number")
		return otherwise
	}
	return f
}

// Tuple returns whole numbers, nil where there are none.
func (a *attributes) Tuple(key string) []int64 {
	numbers, none := a.Optionals(key)
	if slices.Contains(none, true) {
		a.fail(key, "whole numbers in brackets")
		return nil
	}
	return numbers
}

// Optionals is tuple for elements that may be None.
func (a *attributes) Optionals(key string) (numbers []int64, none []bool) {
	value, ok := a.Get(key)
	if !ok || value == "None" {
		return nil, nil
	}
	if len(value) >= 2 && (value[0] == '(' && value[len(value)-1] == ')' || value[0] == '[' && value[len(value)-1] == ']') {
		value = value[1 : len(value)-1]
	}
	for _, field := range strings.Split(value, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		if field == "None" {
			numbers, none = append(numbers, 0), append(none, true)
			continue
		}
		n, err := parseInteger(field)
		if err != nil || len(numbers) >= 2*mxnet.MaxAxes {
			a.fail(key, "whole numbers in brackets")
			return nil, nil
		}
		numbers, none = append(numbers, n), append(none, false)
	}
	return numbers, none
}

// parseInteger also reads the long integers of Python 2: 3L.
func parseInteger(text string) (int64, error) {
	return strconv.ParseInt(strings.TrimSuffix(text, "L"), 10, 32)
}

// ignored are the attributes that do not change what a node computes at
// inference: how and where it is computed, and how it is trained.
var ignored = map[string]bool{
	"workspace": true, "cudnn_tune": true, "cudnn_off": true, "momentum": true, "num_args": true, "grad_scale": true, "ignore_label": true,
	"use_ignore": true, "normalization": true, "out_grad": true, "smooth_alpha": true, "valid_thresh": true, "use_global_stats": true,
	"ctx_group": true, "lr_mult": true, "wd_mult": true, "force_mirroring": true, "mirror_stage": true, "margin": true,
	"regularization_coefficient": true, "use_linear": true, "cudnn_algo_verbose": true, "cudnn_algo_fwd": true,
	"cudnn_algo_bwd_data": true, "cudnn_algo_bwd_filter": true, "cudnn_tensor_core_only": true, "forward_stype": true,
}

// Rest fails where the node has attributes that nobody has asked for and that
// may matter.
func (a *attributes) Rest() {
	for _, key := range slices.Sorted(maps.Keys(a.Values)) {
		switch {
		case a.read[key] || ignored[key] || strings.HasPrefix(key, "__") && strings.HasSuffix(key, "__"):
		case strings.HasSuffix(key, "_lr_mult") || strings.HasSuffix(key, "_wd_mult"):
		default:
			if a.Err == nil {
				a.Err = fmt.Errorf("%w: attribute %s = %q is not known", mxnet.ErrUnsupported, key, a.Values[key])
			}
			return
		}
	}
}
