package config

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/ggipc"
)

// reader takes values out of a document by dotted key and collects what is wrong
// with them.
type reader struct {
	values map[string]any // by dotted key; taken values are removed
	asked  []string       // the keys that were looked for
	hidden []string       // the keys whose values are not shown
	errs   []error
}

// flatten puts the leaves of an object into values. A list counts as a leaf, and
// null as absent.
func (r *reader) flatten(prefix string, object map[string]any) {
	for name, value := range object {
		key := prefix + name
		if inner, ok := value.(map[string]any); ok {
			r.flatten(key+".", inner)
			continue
		}
		if value != nil {
			r.values[key] = value
		}
	}
}

// misplaced refuses values that stand where a group belongs, and groups that
// stand where a value belongs: leaving them out would run on defaults.
func (r *reader) misplaced() {
	for _, key := range r.unknown() {
		for _, asked := range r.asked {
			switch {
			case strings.HasPrefix(asked, key+"."):
				r.fail(key, r.values[key], "it must be an object, such as {\""+strings.TrimPrefix(asked, key+".")+"\": ...}")
			case strings.HasPrefix(key, asked+"."):
				r.fail(asked, map[string]any{strings.TrimPrefix(key, asked+"."): r.values[key]}, "it must not be an object")
			default:
				continue
			}
			delete(r.values, key)
			break
		}
	}
}

// unknown lists the keys that nothing took, sorted.
func (r *reader) unknown() []string {
	var keys []string
	for key := range r.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// take removes and returns the value of key.
func (r *reader) take(key string) (any, bool) {
	r.asked = append(r.asked, key)
	value, ok := r.values[key]
	delete(r.values, key)
	return value, ok
}

func (r *reader) fail(key string, value any, allowed string) {
	if slices.Contains(r.hidden, key) {
		r.errs = append(r.errs, fmt.Errorf("%s is refused: %s", key, allowed))
		return
	}
	shown, _ := json.Marshal(value)
	if len(shown) > 80 {
		shown = append(shown[:80], "..."...)
	}
	r.errs = append(r.errs, fmt.Errorf("%s is %s: %s", key, shown, allowed))
}

// secret reads a string that no error shows.
func (r *reader) secret(key, otherwise string) string {
	r.hidden = append(r.hidden, key)
	return r.text(key, otherwise)
}

func (r *reader) text(key, otherwise string) string {
	value, ok := r.take(key)
	if !ok {
		return otherwise
	}
	s, ok := value.(string)
	if !ok {
		r.fail(key, value, "it must be a string")
	}
	return s
}

// texts reads a list of strings; a single string is a list of one, and an empty
// one an empty list.
func (r *reader) texts(key string, otherwise []string) []string {
	value, ok := r.take(key)
	if !ok {
		return otherwise
	}
	switch v := value.(type) {
	case string:
		if v == "" {
			return nil
		}
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok || s == "" {
				r.fail(key, value, "it must be a list of strings")
				return nil
			}
			list = append(list, s)
		}
		return list
	}
	r.fail(key, value, "it must be a list of strings")
	return nil
}

// topic reads a topic name: MQTT wildcards have no place in one.
func (r *reader) topic(key, otherwise string) string {
	s := r.text(key, otherwise)
	if s == "" || len(s) > ggipc.MaxTopic || strings.ContainsAny(s, "+#*?\x00") || strings.HasPrefix(s, "$") {
		r.fail(key, s, fmt.Sprintf("it must be a topic of 1 to %d bytes without wildcards", ggipc.MaxTopic))
	}
	return s
}

func (r *reader) integer(key string, otherwise, least, most int64) int64 {
	return r.number(key, otherwise, least, most, "")
}

// number reads a whole number; the words that are allowed instead are for the error.
func (r *reader) number(key string, otherwise, least, most int64, words string) int64 {
	value, ok := r.take(key)
	if !ok {
		return otherwise
	}
	n, good := math.NaN(), false
	switch v := value.(type) {
	case float64:
		n, good = v, true
	case string:
		var err error
		n, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
		good = err == nil
	}
	if !good || n != math.Trunc(n) || n < float64(least) || n > float64(most) {
		r.fail(key, value, fmt.Sprintf("it must be a whole number from %d to %d%s", least, most, words))
		return otherwise
	}
	return int64(n)
}

// workers reads a number, or auto, which stands for as many as auto says.
func (r *reader) workers(key string, auto int) int {
	if s, ok := r.values[key].(string); ok && strings.EqualFold(strings.TrimSpace(s), "auto") {
		r.take(key)
		return auto
	}
	return int(r.number(key, int64(auto), 1, 64, ", or auto"))
}

func (r *reader) boolean(key string, otherwise bool) bool {
	value, ok := r.take(key)
	if !ok {
		return otherwise
	}
	switch v := value.(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true":
			return true
		case "false":
			return false
		}
	}
	r.fail(key, value, "it must be true or false")
	return otherwise
}

func (r *reader) level(key string, otherwise zapcore.Level) zapcore.Level {
	value, ok := r.take(key)
	if !ok {
		return otherwise
	}
	if s, ok := value.(string); ok {
		switch level, err := zapcore.ParseLevel(strings.ToLower(s)); {
		case err == nil && level >= zapcore.DebugLevel && level <= zapcore.ErrorLevel:
			return level
		}
	}
	r.fail(key, value, "it must be debug, info, warn or error")
	return otherwise
}
