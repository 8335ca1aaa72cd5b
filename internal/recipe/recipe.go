// Package recipe reads, checks and changes the recipes of Greengrass components.
//
// The classic nucleus and nucleus lite read the same recipes differently. Lite
// takes keys in one spelling only, has no shutdown and no recover, and cuts a
// script at a brace that it does not know, without a word. Publishing finds none
// of that; a device in the field does. Check finds it before. Its rules are
// stricter than Greengrass where the project is: no root, no wildcard in a policy.
//
// The package deploys nothing, and does not ask whether artifacts exist. Packages
// modelpackage and publish call it to fill in versions and places; tests hold
// every recipe of the repository to the rules.
package recipe

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the largest recipe that can be published.
const MaxBytes = 16_000

// ErrInvalid is wrapped by every error of this package.
var ErrInvalid = errors.New("recipe is not valid")

// Recipe is a parsed recipe. Its fields say what is in it, and follow where a
// method changes it.
type Recipe struct {
	Name    string
	Version string
	// Configuration is ComponentConfiguration.DefaultConfiguration,
	// accessControl included.
	Configuration map[string]any
	Dependencies  map[string]Dependency
	Manifests     []Manifest

	tree yaml.Node // with the comments and in the order of the text
	text []byte
}

// Dependency is another component that this one needs.
type Dependency struct {
	VersionRequirement string `yaml:"VersionRequirement"`
	// DependencyType is HARD or SOFT; "" means HARD to the classic nucleus, and
	// to nucleus lite that there is nothing to wait for.
	DependencyType string `yaml:"DependencyType"`
}

// Manifest is what is done on one platform.
type Manifest struct {
	Name      string                   `yaml:"Name"`
	Platform  Platform                 `yaml:"Platform"`
	Artifacts []Artifact               `yaml:"Artifacts"`
	Lifecycle map[string]LifecycleStep `yaml:"Lifecycle"` // by its key, such as startup
}

// Platform says for which devices a manifest is.
type Platform struct {
	OS           string `yaml:"os"`
	Architecture string `yaml:"architecture"`
	Detail       string `yaml:"architecture.detail"`
	Runtime      string `yaml:"runtime"`
}

// Artifact is a file that is brought to the device.
type Artifact struct {
	URI        string     `yaml:"Uri"`
	Unarchive  string     `yaml:"Unarchive"`
	Permission Permission `yaml:"Permission"`
}

// Permission says who on the device may use an artifact: NONE, OWNER or ALL;
// "" is OWNER for Read and NONE for Execute.
type Permission struct {
	Read    string `yaml:"Read"`
	Execute string `yaml:"Execute"`
}

// LifecycleStep is a script of the life cycle.
type LifecycleStep struct {
	Script            string            `yaml:"Script"`
	Timeout           int               `yaml:"Timeout"` // seconds; 0 for the nucleus' own, 120
	Setenv            map[string]string `yaml:"Setenv"`
	RequiresPrivilege bool              `yaml:"RequiresPrivilege"`

	node *yaml.Node // as it is written; nil where it is a script alone
}

// UnmarshalYAML reads a step given as a script alone, too.
func (s *LifecycleStep) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&s.Script)
	}
	s.node = node
	return node.Decode((*plainStep)(s))
}

// plainStep is a LifecycleStep that is no yaml.Unmarshaler.
type plainStep LifecycleStep

// document is a recipe as it is written. Its keys are matched with their case,
// as nucleus lite does.
type document struct {
	FormatVersion string                `yaml:"RecipeFormatVersion"`
	Name          string                `yaml:"ComponentName"`
	Version       string                `yaml:"ComponentVersion"`
	Description   string                `yaml:"ComponentDescription"`
	Publisher     string                `yaml:"ComponentPublisher"`
	Type          string                `yaml:"ComponentType"`
	Dependencies  map[string]Dependency `yaml:"ComponentDependencies"`
	Configuration struct {
		Default map[string]any `yaml:"DefaultConfiguration"`
	} `yaml:"ComponentConfiguration"`
	Manifests []Manifest `yaml:"Manifests"`
}

// Parse reads a recipe, YAML or JSON, with a name and a version by Greengrass'
// rules. Comments and order stay as they are. What it does not know it leaves
// alone; see Check.
func Parse(text []byte) (*Recipe, error) {
	r := new(Recipe)
	if err := yaml.Unmarshal(text, &r.tree); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return r, r.update()
}

// decodeStrictly refuses keys that the target does not have.
func decodeStrictly(node *yaml.Node, into any) error {
	text, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}

// policy is one entry of accessControl.
type policy struct {
	service, id string
	content     map[string]any
}

// policies lists those of a default configuration, sorted by id.
func policies(configuration map[string]any) []policy {
	var list []policy
	services, _ := configuration["accessControl"].(map[string]any)
	for service, v := range services {
		byID, _ := v.(map[string]any)
		for id, content := range byID {
			content, _ := content.(map[string]any)
			list = append(list, policy{service, id, content})
		}
	}
	slices.SortFunc(list, func(a, b policy) int { return strings.Compare(a.id, b.id) })
	return list
}

var (
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)
	// As semver.org has it, in numbers that Greengrass takes.
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

func validVersion(version string) bool {
	return len(version) <= 64 && versionPattern.MatchString(version)
}
