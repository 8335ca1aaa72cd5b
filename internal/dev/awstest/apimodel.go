package awstest

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
)

// apiModel is AWS' own description of a service's API, as botocore carries it.
type apiModel struct {
	Operations map[string]struct {
		HTTP struct {
			Method       string `json:"method"`
			RequestURI   string `json:"requestUri"`
			ResponseCode int    `json:"responseCode"`
		} `json:"http"`
		Input  shapeReference `json:"input"`
		Output shapeReference `json:"output"`
	} `json:"operations"`
	Shapes map[string]shape `json:"shapes"`
}

type shapeReference struct {
	Shape        string `json:"shape"`
	Location     string `json:"location"`
	LocationName string `json:"locationName"`
}

type shape struct {
	Type     string                    `json:"type"`
	Members  map[string]shapeReference `json:"members"`
	Member   shapeReference            `json:"member"`
	Key      shapeReference            `json:"key"`
	Value    shapeReference            `json:"value"`
	Required []string                  `json:"required"`
	Enum     []string                  `json:"enum"`
	Pattern  string                    `json:"pattern"`
	Min      *float64                  `json:"min"`
	Max      *float64                  `json:"max"`
	Error    struct {
		HTTPStatusCode int `json:"httpStatusCode"`
	} `json:"error"`
}

// apiModels are those that were read, by service.
var apiModels sync.Map

func readAPIModel(t testing.TB, service string) *apiModel {
	t.Helper()
	if model, ok := apiModels.Load(service); ok {
		return model.(*apiModel)
	}
	pattern := filepath.Join(root(), ".venv", "lib", "python3*", "site-packages", "botocore", "data", service, "*", "service-2.json.gz")
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("the API's model is missing (%s, %v); run `make test-servers`", pattern, err)
	}
	file, err := os.Open(paths[len(paths)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	model := new(apiModel)
	if err := json.NewDecoder(unzipped).Decode(model); err != nil {
		t.Fatal(err)
	}
	apiModels.Store(service, model)
	return model
}

// CheckInput compares a document with what AWS' own description of an operation
// says of its input.
func CheckInput(t testing.TB, service, operation string, document []byte) error {
	t.Helper()
	m := readAPIModel(t, service)
	o, known := m.Operations[operation]
	if !known {
		return fmt.Errorf("%s has no operation %s", service, operation)
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return m.check(operation, o.Input.Shape, value)
}

// check compares a JSON value with the shape of that name. where says what the
// value is, for the error.
func (m *apiModel) check(where, name string, value any) error {
	s, ok := m.Shapes[name]
	if !ok {
		return fmt.Errorf("%s: the model has no shape %s", where, name)
	}
	switch s.Type {
	case "structure":
		return m.checkStructure(where, s, value)
	case "map":
		object, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %T instead of a map", where, value)
		}
		for key, v := range object {
			if err := m.check(where+" key", s.Key.Shape, key); err != nil {
				return err
			}
			if err := m.check(where+"."+key, s.Value.Shape, v); err != nil {
				return err
			}
		}
		return s.checkRange(where, float64(len(object)))
	case "list":
		list, ok := value.([]any)
		if !ok {
			return fmt.Errorf("%s is %T instead of a list", where, value)
		}
		for i, v := range list {
			if err := m.check(fmt.Sprintf("%s[%d]", where, i), s.Member.Shape, v); err != nil {
				return err
			}
		}
		return s.checkRange(where, float64(len(list)))
	case "string", "blob":
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%s is %T instead of a string", where, value)
		}
		return s.checkText(where, text)
	case "integer", "long", "double", "float", "timestamp":
		number, ok := value.(float64)
		if !ok {
			return fmt.Errorf("%s is %T instead of a number", where, value)
		}
		return s.checkRange(where, number)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return fmt.Errorf("%s is %T instead of a boolean", where, value)
		}
		return nil
	}
	return fmt.Errorf("%s: type %s is not known", where, s.Type)
}

func (m *apiModel) checkStructure(where string, s shape, value any) error {
	object, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %T instead of an object", where, value)
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return fmt.Errorf("%s.%s is missing", where, name)
		}
	}
	for name, v := range object {
		member, ok := s.Members[name]
		if !ok {
			return fmt.Errorf("%s.%s is not in the model", where, name)
		}
		if err := m.check(where+"."+name, member.Shape, v); err != nil {
			return err
		}
	}
	return nil
}

func (s shape) checkText(where, text string) error {
	if s.Type == "blob" {
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		return nil
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return fmt.Errorf("%s is %q and must be one of %q", where, text, s.Enum)
	}
	if s.Pattern != "" {
		pattern, err := regexp.Compile("^(?:" + s.Pattern + ")$")
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if !pattern.MatchString(text) {
			return fmt.Errorf("%s is %q and must match %s", where, text, s.Pattern)
		}
	}
	return s.checkRange(where, float64(len(text)))
}

func (s shape) checkRange(where string, n float64) error {
	if s.Min != nil && n < *s.Min || s.Max != nil && n > *s.Max {
		return fmt.Errorf("%s has length or value %v, outside what the model allows", where, n)
	}
	return nil
}
