package recipe

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bytes returns the recipe as YAML.
func (r *Recipe) Bytes() []byte { return bytes.Clone(r.text) }

// SetVersion changes ComponentVersion to MAJOR.MINOR.PATCH, -PRERELEASE allowed.
func (r *Recipe) SetVersion(version string) error {
	// The version becomes a part of an object's key, where a plus is a space.
	if !validVersion(version) || strings.Contains(version, "+") {
		return fmt.Errorf("%w: the version %q is not MAJOR.MINOR.PATCH", ErrInvalid, version)
	}
	node := r.field("ComponentVersion")
	node.Value, node.Tag, node.Style = version, "!!str", yaml.DoubleQuotedStyle
	return r.update()
}

// SetArtifact changes the place of each artifact on S3 that has the file name
// of uri, as GDK does.
func (r *Recipe) SetArtifact(uri string) error {
	changed := 0
	for _, manifest := range items(r.field("Manifests")) {
		for _, artifact := range items(field(manifest, "Artifacts")) {
			node := field(artifact, "Uri")
			if old := text(node); strings.HasPrefix(old, "s3://") && path.Base(old) == path.Base(uri) {
				node.Value = uri
				changed++
			}
		}
	}
	if changed == 0 {
		return fmt.Errorf("%w: the recipe has no artifact s3://.../%s", ErrInvalid, path.Base(uri))
	}
	return r.update()
}

// AddVariant puts a manifest for an architecture before the first, which is for
// all: the first that matches wins. It is a copy of that one, but for the texts
// that change replaces.
func (r *Recipe) AddVariant(architecture string, change *strings.Replacer) error {
	manifests := r.field("Manifests")
	if len(items(manifests)) == 0 {
		return fmt.Errorf("%w: there is no manifest", ErrInvalid)
	}
	var variant yaml.Node
	content, err := yaml.Marshal(items(manifests)[0])
	if err == nil {
		err = yaml.Unmarshal([]byte(change.Replace(string(content))), &variant)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	platform := field(variant.Content[0], "Platform")
	if platform == nil {
		return fmt.Errorf("%w: the manifest names no platform", ErrInvalid)
	}
	platform.Content = append(platform.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "architecture"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: architecture})
	manifests.Content = append([]*yaml.Node{variant.Content[0]}, manifests.Content...)
	return r.update()
}

// update brings text and fields in line with the tree.
func (r *Recipe) update() error {
	if len(r.tree.Content) != 1 || r.tree.Content[0].Kind != yaml.MappingNode {
		return fmt.Errorf("%w: it is not a mapping", ErrInvalid)
	}
	var d document
	if err := r.tree.Decode(&d); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !namePattern.MatchString(d.Name) || !validVersion(d.Version) {
		return fmt.Errorf("%w: ComponentName is %q and ComponentVersion %q", ErrInvalid, d.Name, d.Version)
	}
	var b bytes.Buffer
	b.WriteString("---\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(&r.tree); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if b.Len() > MaxBytes {
		return fmt.Errorf("%w: it has %d bytes, and %d can be published", ErrInvalid, b.Len(), MaxBytes)
	}
	*r = Recipe{
		Name: d.Name, Version: d.Version, Configuration: d.Configuration.Default,
		Dependencies: d.Dependencies, Manifests: d.Manifests, tree: r.tree, text: b.Bytes(),
	}
	return nil
}

// field returns the value of a key of the recipe, nil where there is none.
func (r *Recipe) field(key string) *yaml.Node { return field(r.tree.Content[0], key) }

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
