// Package modelpackage makes the Greengrass component of a model: the zip with
// the model and its recipe. The same model gives the same bytes.
//
// It uploads nothing. Package modelbuild calls it, and package publish reads
// what it made.
package modelpackage

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/provenance"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// The names of a package's files. On a device the zip is unpacked to a folder
// model, after its name.
const (
	ZipName    = "model.zip"
	RecipeName = "recipe.yaml"
)

// ErrPackage: a folder is not a package, or its recipe is not one.
var ErrPackage = errors.New("not a package of a model component")

// Documents are taken along where they lie beside the model.
var Documents = []string{"README.md", "MODEL_CARD.md", "LICENSE", "NOTICE"}

// Package is what Build made, in a folder.
type Package struct {
	// Zip and Recipe are the files' paths.
	Zip, Recipe string
	// Component and Version are the recipe's.
	Component, Version string
	// SHA256 of the zip.
	SHA256 string
	// Files in the zip.
	Files []string
}

// Options are the settings of Build. The zero value is ready to use.
type Options struct {
	// Version of the component; default that of the recipe, 1.0.0. Publishing may
	// set another.
	Version string
}

// Build packages the model in the folder model into the folder out, which is
// made where it is missing.
//
// What the manifest says of the machine on which the model was checked, its
// speed and memory, is left out: it would make each zip another, and says
// nothing of the device.
func Build(model, out string, options Options) (*Package, error) {
	content, files, err := zipModel(model)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", model, err)
	}
	recipe, err := ParseRecipe(template)
	if err != nil {
		return nil, err
	}
	if options.Version != "" {
		if err := recipe.SetVersion(options.Version); err != nil {
			return nil, fmt.Errorf("package %s: %w", model, err)
		}
	}
	if err := os.MkdirAll(out, 0o750); err != nil {
		return nil, fmt.Errorf("package %s: %w", model, err)
	}
	for name, content := range map[string][]byte{ZipName: content, RecipeName: recipe.Bytes()} {
		if err := renameio.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return nil, fmt.Errorf("package %s: %w", model, err)
		}
	}
	p, err := Open(out)
	if err == nil {
		p.Files = files
	}
	return p, err
}

// Open returns the package in the folder dir.
func Open(dir string) (*Package, error) {
	p := &Package{Zip: filepath.Join(dir, ZipName), Recipe: filepath.Join(dir, RecipeName)}
	content, err := os.ReadFile(p.Recipe)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	recipe, err := ParseRecipe(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.Recipe, err)
	}
	p.Component, p.Version = recipe.Component(), recipe.Version()
	if p.SHA256, err = provenance.FileSHA256(p.Zip); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackage, err)
	}
	return p, nil
}

// zipModel returns the zip and the names of the files in it.
func zipModel(dir string) ([]byte, []string, error) {
	manifest, record, err := provenance.Read(dir)
	if err != nil {
		return nil, nil, err
	}
	if v := record.Verification; v != nil {
		shipped := *v
		shipped.Measured = nil
		record.Verification = &shipped
	}
	network := filepath.Join(dir, manifest.File)
	sum, err := provenance.FileSHA256(network)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", segmentation.ErrModel, err)
	}
	if sum != manifest.SHA256 {
		return nil, nil, fmt.Errorf("%w: %s has sha256 %s, and the manifest says %s", segmentation.ErrChecksum, network, sum, manifest.SHA256)
	}
	document, err := encode(dir, manifest, record)
	if err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	names := []string{segmentation.ManifestName, manifest.File}
	if err := errors.Join(add(w, segmentation.ManifestName, bytes.NewReader(document)), addFile(w, manifest.File, network)); err != nil {
		return nil, nil, err
	}
	for _, name := range Documents {
		err := addFile(w, name, filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		names = append(names, name)
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	return b.Bytes(), names, nil
}

// encode returns the manifest to ship: the file as it is where model-build has
// written nothing into it.
func encode(dir string, manifest *segmentation.Manifest, record provenance.Record) ([]byte, error) {
	if record.Tool == "" {
		return os.ReadFile(filepath.Join(dir, segmentation.ManifestName))
	}
	return provenance.Encode(manifest, record)
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
	for from, to := range map[string]string{p.Zip: filepath.Join(versions[0], ZipName), p.Recipe: filepath.Join(dir, "recipes", RecipeName)} {
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
