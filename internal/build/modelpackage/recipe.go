package modelpackage

import (
	"bytes"
	_ "embed" // the recipe
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// template is the recipe before its artifact's place is known.
//
//go:embed recipe.yaml
var template []byte

// MaxRecipeBytes is the largest recipe that Greengrass takes.
const MaxRecipeBytes = 16000

var (
	namePattern    = regexp.MustCompile(`^[a-zA-Z0-9\-_.]{1,128}$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})(-[0-9A-Za-z.-]+)?$`)
)

// Recipe is a component's recipe. Comments and order stay as they are.
type Recipe struct {
	document yaml.Node
	bytes    []byte
}

// ParseRecipe reads a recipe, and checks its name and version.
func ParseRecipe(content []byte) (*Recipe, error) {
	r := new(Recipe)
	if err := yaml.Unmarshal(content, &r.document); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	if len(r.document.Content) != 1 || r.document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%w: the recipe is not a mapping", ErrPackage)
	}
	if name := r.Component(); !namePattern.MatchString(name) {
		return nil, fmt.Errorf("%w: ComponentName is %q", ErrPackage, name)
	}
	if version := r.Version(); !versionPattern.MatchString(version) {
		return nil, fmt.Errorf("%w: ComponentVersion is %q", ErrPackage, version)
	}
	return r, r.encode()
}

// Component returns the component's name.
func (r *Recipe) Component() string { return text(field(r.document.Content[0], "ComponentName")) }

// Version returns the component's version.
func (r *Recipe) Version() string { return text(field(r.document.Content[0], "ComponentVersion")) }

// Bytes returns the recipe as YAML.
func (r *Recipe) Bytes() []byte { return bytes.Clone(r.bytes) }

// SetVersion changes ComponentVersion.
func (r *Recipe) SetVersion(version string) error {
	if !versionPattern.MatchString(version) || len(version) > 64 {
		return fmt.Errorf("%w: the version %q is not MAJOR.MINOR.PATCH", ErrPackage, version)
	}
	node := field(r.document.Content[0], "ComponentVersion")
	node.Value, node.Tag, node.Style = version, "!!str", yaml.DoubleQuotedStyle
	return r.encode()
}

// SetArtifact changes the place of each artifact on S3 that has the file name
// of uri, as GDK does.
func (r *Recipe) SetArtifact(uri string) error {
	changed := 0
	for _, manifest := range items(field(r.document.Content[0], "Manifests")) {
		for _, artifact := range items(field(manifest, "Artifacts")) {
			node := field(artifact, "Uri")
			if old := text(node); strings.HasPrefix(old, "s3://") && path.Base(old) == path.Base(uri) {
				node.Value = uri
				changed++
			}
		}
	}
	if changed == 0 {
		return fmt.Errorf("%w: the recipe has no artifact s3://.../%s", ErrPackage, path.Base(uri))
	}
	return r.encode()
}

// artifacts returns the file names of the artifacts on S3, the last manifest's
// first: it is the one for all processors.
func (r *Recipe) artifacts() []string {
	var names []string
	for _, manifest := range slices.Backward(items(field(r.document.Content[0], "Manifests"))) {
		for _, artifact := range items(field(manifest, "Artifacts")) {
			if uri := text(field(artifact, "Uri")); strings.HasPrefix(uri, "s3://") {
				names = append(names, path.Base(uri))
			}
		}
	}
	return names
}

// addVariant puts a manifest for an architecture, with an artifact of its own,
// before that for all: the first that matches wins.
func (r *Recipe) addVariant(architecture, zip string) error {
	manifests := field(r.document.Content[0], "Manifests")
	common := items(manifests)[0]
	var variant yaml.Node
	content, err := yaml.Marshal(common)
	if err == nil {
		content = bytes.ReplaceAll(content, []byte("/"+ZipName), []byte("/"+zip))
		content = bytes.ReplaceAll(content, []byte("decompressedPath}/model "), []byte("decompressedPath}/"+strings.TrimSuffix(zip, ".zip")+" "))
		err = yaml.Unmarshal(content, &variant)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPackage, err)
	}
	platform := field(variant.Content[0], "Platform")
	platform.Content = append(platform.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "architecture"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: architecture})
	manifests.Content = append([]*yaml.Node{variant.Content[0]}, manifests.Content...)
	return r.encode()
}

func (r *Recipe) encode() error {
	var b bytes.Buffer
	b.WriteString("---\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&r.document); err != nil {
		return fmt.Errorf("%w: %w", ErrPackage, err)
	}
	if b.Len() > MaxRecipeBytes {
		return fmt.Errorf("%w: the recipe has %d bytes, and Greengrass takes %d", ErrPackage, b.Len(), MaxRecipeBytes)
	}
	r.bytes = b.Bytes()
	return nil
}

// field returns the value of a mapping's key, nil where there is none.
func field(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func items(sequence *yaml.Node) []*yaml.Node {
	if sequence == nil || sequence.Kind != yaml.SequenceNode {
		return nil
	}
	return sequence.Content
}

func text(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}
