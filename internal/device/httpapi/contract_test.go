package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

// operation is what the OpenAPI document says of one method of a path.
type operation struct {
	Responses map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]struct {
			Schema json.RawMessage
		}
	}
}

// document is the OpenAPI document, as far as these tests read it.
type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Responses map[string]json.RawMessage
		Schemas   struct {
			Problem struct {
				Properties struct {
					Code struct{ Enum []request.Code }
				}
			}
		}
	}
}

func readDocument(t testing.TB) (d document) {
	t.Helper()
	if err := json.Unmarshal(schemas.OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var methods = []string{"get", "post", "put", "delete", "patch", "head", "options"}

func TestTheDocumentDescribesEveryRouteAndNoOther(t *testing.T) {
	var described, served []string
	for path, item := range readDocument(t).Paths {
		for method := range item {
			if slices.Contains(methods, method) {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	for pattern := range New(Options{}).routes() {
		served = append(served, strings.TrimSuffix(pattern, "{$}"))
	}
	slices.Sort(described)
	slices.Sort(served)
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("routes (-served +described):\n%s", diff)
	}
}

func TestTheDocumentListsEveryCodeAndNoOther(t *testing.T) {
	var known []request.Code
	for _, file := range []string{"../request/error.go", "../problem/problem.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^\tCode\w+ +(?:request\.)?Code += "(\w+)"`).FindAllSubmatch(source, -1) {
			known = append(known, request.Code(match[1]))
		}
	}
	listed := readDocument(t).Components.Schemas.Problem.Properties.Code.Enum
	slices.Sort(known)
	slices.Sort(listed)
	if diff := cmp.Diff(known, listed); diff != "" || len(known) < 20 {
		t.Errorf("codes (-of the program +of the document):\n%s", diff)
	}
}

func TestTheDocumentListsEveryOutput(t *testing.T) {
	var parameters []struct {
		Name   string
		Schema struct{ Enum []string }
	}
	if err := json.Unmarshal(readDocument(t).Paths["/v1/requests/{id}/{output}"]["parameters"], &parameters); err != nil {
		t.Fatal(err)
	}
	want := []string{"mask", "overlay"}
	for _, kind := range request.Kinds {
		if !slices.Contains(want, string(kind)) {
			want = append(want, string(kind))
		}
	}
	got := parameters[1].Schema.Enum
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || parameters[1].Name != "output" {
		t.Errorf("outputs (-of requests +of the document):\n%s", diff)
	}
}

// checked is a transport that holds what comes back against the document.
type checked struct {
	t testing.TB
	document
	next     http.RoundTripper
	mu       sync.Mutex
	compiler *jsonschema.Compiler // guarded by mu
}

func contract(t testing.TB, next http.RoundTripper) http.RoundTripper {
	compiler := jsonschema.NewCompiler()
	for name, content := range map[string][]byte{"openapi.json": schemas.OpenAPI, "request.schema.json": schemas.Request, "result.schema.json": schemas.Result} {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err == nil {
			err = compiler.AddResource("file:///schemas/"+name, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	compiler.DefaultDraft(jsonschema.Draft2020)
	return &checked{t: t, document: readDocument(t), next: next, compiler: compiler}
}

func (h *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := h.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(content))
	if err := h.check(r, answer, content); err != nil {
		h.t.Errorf("%s %s answers %d, and the document says otherwise: %v", r.Method, r.URL.EscapedPath(), answer.StatusCode, err)
	}
	return answer, nil
}

// path is the one of the document that a URL's path is an instance of.
func (d document) path(escaped string) string {
	given := strings.Split(escaped, "/")
next:
	for path := range d.Paths {
		parts := strings.Split(path, "/")
		if len(parts) != len(given) {
			continue
		}
		for i, part := range parts {
			if part != given[i] && !strings.HasPrefix(part, "{") {
				continue next
			}
		}
		return path
	}
	return ""
}

func (h *checked) check(r *http.Request, answer *http.Response, content []byte) error {
	path, method := h.path(r.URL.EscapedPath()), strings.ToLower(r.Method)
	var o operation
	if err := json.Unmarshal(h.Paths[path][method], &o); err != nil {
		return fmt.Errorf("there is no such operation")
	}
	status := strconv.Itoa(answer.StatusCode)
	response, known := o.Responses[status]
	if !known {
		return fmt.Errorf("there is no such status")
	}
	pointer := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + method + "/responses/" + status
	if name, ok := strings.CutPrefix(response.Ref, "#/components/responses/"); ok {
		if err := json.Unmarshal(h.Components.Responses[name], &response); err != nil {
			return err
		}
		pointer = "/components/responses/" + name
	}
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if len(response.Content) == 0 {
		if len(content) > 0 {
			return fmt.Errorf("there is a body of %d bytes", len(content))
		}
		return nil
	}
	media, known := response.Content[kind]
	if err != nil || !known {
		return fmt.Errorf("there is no type %q", kind)
	}
	if media.Schema == nil || !strings.HasSuffix(kind, "json") {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	schema, err := h.compiler.Compile("file:///schemas/openapi.json#" + pointer + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
