// Package modelpackage makes the Greengrass component of a model: the zip with
// the model and its recipe. The same model gives the same bytes.
//
// It uploads nothing. Package cli calls it, and package publish reads
// what it made.
package modelpackage

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed" // the recipe
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/recipe"
)

// The names of a package's files. On a device a zip is unpacked to a folder after
// its name, model or model-amd64.
const (
	ZipName    = "model.zip"
	RecipeName = "recipe.yaml"
)

// AMD64Dir is the folder, in a model's own, of its variant for x86-64. A model
// without one is the same on all processors.
const AMD64Dir = "amd64"

// amd64ZipName is the variant's.
const amd64ZipName = "model-amd64.zip"

// forAMD64 makes of the manifest for all that of the variant.
var forAMD64 = strings.NewReplacer("/"+ZipName, "/"+amd64ZipName, "decompressedPath}/model ", "decompressedPath}/model-amd64 ")

// template is the recipe before its artifact's place is known.
//
//go:embed recipe.yaml
var template []byte

// ErrPackage: a folder is not a package, or its recipe is not one.
var ErrPackage = errors.New("not a package of a model component")

// Documents are taken along where they lie beside the model.
var Documents = []string{"README.md", "MODEL_CARD.md", "LICENSE", "NOTICE"}

// Package is what Build made, in a folder.
type Package struct {
	// Recipe is the file's path.
	Recipe string
	// Component and Version are the recipe's.
	Component, Version string
	// Artifacts are the zips, the one for all processors first.
	Artifacts []Artifact
}

// Artifact is a zip of a package.
type Artifact struct {
	// Path of the file; its name is that in the recipe.
	Path string
	// SHA256 of the zip in lower-case hexadecimal.
	SHA256 string
}

// Name is the file's.
func (a Artifact) Name() string { return filepath.Base(a.Path) }

// Digest is one of all artifacts.
func (p *Package) Digest() string {
	hash := sha256.New()
	for _, a := range p.Artifacts {
		fmt.Fprintln(hash, a.Name(), a.SHA256)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Options are the settings of Build. The zero value is ready to use.
type Options struct {
	// Version of the component; default that of the recipe, 1.0.0. Publishing may
	// set another.
	Version string
}

// Build packages the model in the folder dir into the folder out, which is
// made where it is missing.
//
// What the manifest says of the machine on which the model was checked, its
// speed and memory, is left out: it would make each zip another, and says
// nothing of the device.
func Build(dir, out string, options Options) (*Package, error) {
	doing := "package " + dir
	r, err := recipe.Parse(template)
	if err == nil && options.Version != "" {
		err = r.SetVersion(options.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	files := make(map[string][]byte)
	if files[ZipName], err = zipModel(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	variant := filepath.Join(dir, AMD64Dir)
	if _, err := os.Stat(variant); err == nil {
		if files[amd64ZipName], err = zipModel(variant); err != nil {
			return nil, fmt.Errorf("package %s: %w", variant, err)
		}
		if err := r.AddVariant("amd64", forAMD64); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	files[RecipeName] = r.Bytes()
	if err := os.MkdirAll(out, 0o750); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	for name, content := range files {
		if err := renameio.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return Open(out)
}

// Open returns the package in the folder dir.
func Open(dir string) (*Package, error) {
	p := &Package{Recipe: filepath.Join(dir, RecipeName)}
	content, err := boundedfile.Read(p.Recipe, recipe.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	r, err := recipe.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", p.Recipe, ErrPackage, err)
	}
	p.Component, p.Version = r.Name, r.Version
	for _, uri := range artifacts(r) {
		a := Artifact{Path: filepath.Join(dir, path.Base(uri))}
		if a.SHA256, err = model.FileSHA256(a.Path); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPackage, err)
		}
		p.Artifacts = append(p.Artifacts, a)
	}
	if len(p.Artifacts) == 0 {
		return nil, fmt.Errorf("%w: %s has no artifacts", ErrPackage, p.Recipe)
	}
	return p, nil
}

// artifacts returns the places on S3, the last manifest's first: it is the one
// for all processors.
func artifacts(r *recipe.Recipe) []string {
	var uris []string
	for _, manifest := range slices.Backward(r.Manifests) {
		for _, artifact := range manifest.Artifacts {
			if strings.HasPrefix(artifact.URI, "s3://") {
				uris = append(uris, artifact.URI)
			}
		}
	}
	return uris
}

// zipModel returns the zip of the model in the folder dir.
func zipModel(dir string) ([]byte, error) {
	manifest, record, err := model.Read(dir)
	if err != nil {
		return nil, err
	}
	if v := record.Verification; v != nil {
		shipped := *v
		shipped.Measured = nil
		record.Verification = &shipped
	}
	network := filepath.Join(dir, manifest.File)
	sum, err := model.FileSHA256(network)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrNetwork, err)
	}
	if sum != manifest.SHA256 {
		return nil, fmt.Errorf("%w: %s has sha256 %s, and the manifest says %s", model.ErrChecksum, network, sum, manifest.SHA256)
	}
	document, err := encode(dir, manifest, record)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := errors.Join(add(w, model.ManifestName, bytes.NewReader(document)), addFile(w, manifest.File, network)); err != nil {
		return nil, err
	}
	for _, name := range append([]string{model.SelfTestSliceName, model.SelfTestMaskName}, Documents...) {
		err := addFile(w, name, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// encode returns the manifest to ship: the file as it is where model-build has
// written nothing into it.
func encode(dir string, manifest *model.Manifest, record model.Record) ([]byte, error) {
	if record.Tool == "" {
		return os.ReadFile(filepath.Join(dir, model.ManifestName))
	}
	return model.Encode(manifest, record)
}

// add stores a file as it is: a network hardly shrinks, and compressed bytes
// depend on the version of the compressor.
func add(w *zip.Writer, name string, content io.Reader) error {
	header := &zip.FileHeader{Name: name, Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o644)
	f, err := w.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return err
}

func addFile(w *zip.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return add(w, name, file)
}

// LayForGDK puts a package where `gdk component build` expects what a custom
// build command makes: below dir, the folder greengrass-build, which GDK has
// prepared.
func LayForGDK(p *Package, dir string) error {
	const doing = "lay the package out for GDK"
	versions, err := filepath.Glob(filepath.Join(dir, "artifacts", p.Component, "*"))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if len(versions) != 1 {
		return fmt.Errorf("%s: %s has %d folders of versions, and GDK makes one; run gdk component build", doing, filepath.Join(dir, "artifacts", p.Component), len(versions))
	}
	copies := map[string]string{p.Recipe: filepath.Join(dir, "recipes", RecipeName)}
	for _, a := range p.Artifacts {
		copies[a.Path] = filepath.Join(versions[0], a.Name())
	}
	for from, to := range copies {
		content, err := os.ReadFile(from)
		if err == nil {
			err = renameio.WriteFile(to, content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}
