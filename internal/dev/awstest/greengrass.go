package awstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.yaml.in/yaml/v3"
)

// Component is a component version that was created on a Greengrass server.
type Component struct {
	Name, Version string
	Recipe        []byte
	Tags          map[string]string

	described int
}

// Greengrass plays the calls of AWS IoT Greengrass v2 that publishing needs.
// Every request must be signed by SigV4 with this package's keys, and must fit
// the API's own model; so do the answers. Its fields may be set before use.
type Greengrass struct {
	// URL is the server's.
	URL string
	// Describes is how many calls of DescribeComponent say REQUESTED before the
	// final state; default 0.
	Describes int
	// Failure, where set, makes every component end as FAILED with this message
	// for each of its artifacts.
	Failure string
	// Refuse, where set, makes CreateComponentVersion answer with this error
	// code and message.
	Refuse, RefuseMessage string
	// BeforeCreate, where set, is called with the recipe before a component is
	// created: it may look whether the artifacts are where they should be.
	BeforeCreate func(recipe []byte) error

	model *apiModel
	t     testing.TB

	mu         sync.Mutex
	components []*Component // guarded by mu
	calls      []string     // guarded by mu
}

// UseGreengrass starts the server and sets the environment so that the SDK's
// ordinary configuration leads to it.
func UseGreengrass(t testing.TB) *Greengrass {
	t.Helper()
	g := &Greengrass{model: readAPIModel(t, "greengrassv2"), t: t}
	server := httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(server.Close)
	g.URL = server.URL
	t.Setenv("AWS_ENDPOINT_URL_GREENGRASSV2", server.URL)
	return g
}

// Components returns what was created, in order.
func (g *Greengrass) Components() []*Component {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.components)
}

// Calls returns the operations that were called, in order.
func (g *Greengrass) Calls() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// Add lets the server start with a version of a component.
func (g *Greengrass) Add(name, version string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.components = append(g.components, &Component{Name: name, Version: version})
}

func (g *Greengrass) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if err := checkSignature(r, body, "greengrass"); err != nil {
		g.t.Errorf("greengrass: %s %s: %v", r.Method, r.URL.Path, err)
		g.fail(w, "InvalidSignatureException", err.Error())
		return
	}
	operation, input, err := g.model.match(r, body)
	if err != nil {
		g.t.Errorf("greengrass: %s %s: %v", r.Method, r.URL.Path, err)
		g.fail(w, "ValidationException", err.Error())
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, operation)
	switch operation {
	case "CreateComponentVersion":
		g.create(w, input)
	case "DescribeComponent":
		g.describe(w, input["arn"].(string))
	case "ListComponentVersions":
		g.list(w, input["arn"].(string))
	default:
		g.fail(w, "InternalServerException", operation+" is not played")
	}
}

// create is called with mu held.
func (g *Greengrass) create(w http.ResponseWriter, input map[string]any) {
	if g.Refuse != "" {
		g.fail(w, g.Refuse, g.RefuseMessage)
		return
	}
	encoded, _ := input["inlineRecipe"].(string)
	recipe, _ := base64.StdEncoding.DecodeString(encoded)
	var head struct {
		ComponentName    string `yaml:"ComponentName"`
		ComponentVersion string `yaml:"ComponentVersion"`
	}
	if err := yaml.Unmarshal(recipe, &head); err != nil || head.ComponentName == "" || head.ComponentVersion == "" || len(recipe) > 16000 {
		g.fail(w, "ValidationException", fmt.Sprintf("the recipe of %d bytes is not one: %v", len(recipe), err))
		return
	}
	if g.find(head.ComponentName, head.ComponentVersion) != nil {
		g.fail(w, "ConflictException", "Component ["+head.ComponentName+" : "+head.ComponentVersion+"] for account already exists")
		return
	}
	if g.BeforeCreate != nil {
		if err := g.BeforeCreate(recipe); err != nil {
			g.fail(w, "ValidationException", err.Error())
			return
		}
	}
	c := &Component{Name: head.ComponentName, Version: head.ComponentVersion, Recipe: recipe, Tags: make(map[string]string)}
	if tags, ok := input["tags"].(map[string]any); ok {
		for key, value := range tags {
			c.Tags[key] = value.(string)
		}
	}
	g.components = append(g.components, c)
	g.answer(w, "CreateComponentVersion", map[string]any{
		"arn": c.arn(), "componentName": c.Name, "componentVersion": c.Version,
		"creationTimestamp": 1.7e9, "status": map[string]any{"componentState": "REQUESTED", "message": "NONE"},
	})
}

// describe is called with mu held.
func (g *Greengrass) describe(w http.ResponseWriter, arn string) {
	for _, c := range g.components {
		if c.arn() != arn {
			continue
		}
		status := map[string]any{"componentState": "DEPLOYABLE", "message": "NONE"}
		if c.described++; c.described <= g.Describes {
			status["componentState"] = "REQUESTED"
		} else if g.Failure != "" {
			artifact := regexp.MustCompile(`s3://\S+`).FindString(string(c.Recipe))
			status = map[string]any{"componentState": "FAILED", "message": "Component is in a failed state", "errors": map[string]any{artifact: g.Failure}}
		}
		g.answer(w, "DescribeComponent", map[string]any{"arn": arn, "componentName": c.Name, "componentVersion": c.Version, "status": status})
		return
	}
	g.fail(w, "ResourceNotFoundException", "no "+arn)
}

// list is called with mu held. It gives one version a page.
func (g *Greengrass) list(w http.ResponseWriter, arn string) {
	var versions []any
	for _, c := range g.components {
		if strings.HasPrefix(c.arn(), arn+":versions:") {
			versions = append(versions, map[string]any{"arn": c.arn(), "componentName": c.Name, "componentVersion": c.Version})
		}
	}
	g.answer(w, "ListComponentVersions", map[string]any{"componentVersions": append([]any{}, versions...)})
}

// find is called with mu held.
func (g *Greengrass) find(name, version string) *Component {
	for _, c := range g.components {
		if c.Name == name && c.Version == version {
			return c
		}
	}
	return nil
}

func (c *Component) arn() string {
	return "arn:aws:greengrass:" + Region + ":" + Account + ":components:" + c.Name + ":versions:" + c.Version
}

func (g *Greengrass) answer(w http.ResponseWriter, operation string, output map[string]any) {
	o := g.model.Operations[operation]
	if err := g.model.check(operation+" output", o.Output.Shape, output); err != nil {
		g.t.Errorf("greengrass: %v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(o.HTTP.ResponseCode, http.StatusOK))
	json.NewEncoder(w).Encode(output)
}

// fail answers with an error of the model.
func (g *Greengrass) fail(w http.ResponseWriter, code, message string) {
	status := g.model.Shapes[code].Error.HTTPStatusCode
	if status == 0 {
		status = http.StatusForbidden // as for a wrong signature
	}
	w.Header().Set("X-Amzn-ErrorType", code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": message, "resourceId": "", "resourceType": ""})
}

// match finds the operation of a request and checks its input.
func (m *apiModel) match(r *http.Request, body []byte) (operation string, input map[string]any, err error) {
	for name, o := range m.Operations {
		if o.HTTP.Method != r.Method {
			continue
		}
		pattern, labels := uriPattern(o.HTTP.RequestURI)
		found := pattern.FindStringSubmatch(r.URL.Path)
		if found == nil {
			continue
		}
		input := make(map[string]any)
		if len(body) > 0 {
			if err := json.Unmarshal(body, &input); err != nil {
				return name, nil, err
			}
		}
		members := m.Shapes[o.Input.Shape].Members
		for member, reference := range members {
			switch reference.Location {
			case "uri":
				if i := slices.Index(labels, reference.LocationName); i >= 0 {
					input[member] = found[i+1]
				}
			case "querystring":
				if v := r.URL.Query().Get(reference.LocationName); v != "" && m.Shapes[reference.Shape].Type == "string" {
					input[member] = v
				}
			}
		}
		return name, input, m.check(name+" input", o.Input.Shape, input)
	}
	return "", nil, fmt.Errorf("the model has no operation at this path")
}

func uriPattern(uri string) (*regexp.Regexp, []string) {
	var labels []string
	label := regexp.MustCompile(`\\\{(\w+)\\\}`)
	quoted := label.ReplaceAllStringFunc(regexp.QuoteMeta(uri), func(match string) string {
		labels = append(labels, label.FindStringSubmatch(match)[1])
		return "([^/]+)"
	})
	return regexp.MustCompile("^" + quoted + "$"), labels
}

// checkSignature makes the signature anew from what was signed and compares.
func checkSignature(r *http.Request, body []byte, service string) error {
	authorization := r.Header.Get("Authorization")
	found := regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$`).FindStringSubmatch(authorization)
	if found == nil {
		return fmt.Errorf("not signed by SigV4: %q", authorization)
	}
	if found[1] != AccessKey || found[3] != Region || found[4] != service {
		return fmt.Errorf("signed for key %s, region %s, service %s", found[1], found[3], found[4])
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return fmt.Errorf("signed at %q: %v", r.Header.Get("X-Amz-Date"), err)
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	again.ContentLength = 0
	for _, name := range strings.Split(found[5], ";") {
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		}
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, again,
		hex.EncodeToString(sum[:]), service, Region, at)
	if err != nil {
		return err
	}
	if again.Header.Get("Authorization") != authorization {
		return fmt.Errorf("the signature is wrong: %s instead of %s", authorization, again.Header.Get("Authorization"))
	}
	return nil
}
