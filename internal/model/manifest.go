package model

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
)

// SchemaVersion is the version of the manifest format that this package reads.
// schemas/model-manifest.schema.json describes the format.
const SchemaVersion = 1

// Manifest says what a model is, what it takes and gives, and what its classes
// mean.
type Manifest struct {
	SchemaVersion int    `json:"schemaVersion"`
	Name          string `json:"name"`
	Version       string `json:"version"`
	// File is the network's file name, in the manifest's own folder.
	File string `json:"file"`
	// SHA256 of the network's file, 64 hexadecimal digits in lower case.
	SHA256        string        `json:"sha256"`
	Input         Input         `json:"input"`
	Normalisation Normalisation `json:"normalisation"`
	Output        Output        `json:"output"`
	// Classes in order of value: 0, 1, 2...; class 0 is the background.
	Classes []Class `json:"classes"`
	// Parameters is the number of trained weights.
	Parameters int64 `json:"parameters,omitempty"`
	// Provenance tells where the model comes from, in the trainer's own form.
	Provenance json.RawMessage `json:"provenance,omitempty"`
	Licence    string          `json:"licence,omitempty"`
}

// Input is the graph input that takes the image: grey values 0 to 255, of shape
// 1 x 1 x height x width.
type Input struct {
	Name string `json:"name"`
	// Type of an element: uint8 or float32.
	Type string `json:"type"`
	// Layout of the axes: NCHW.
	Layout   string `json:"layout"`
	Channels int    `json:"channels"`
	// SizeMultiple divides every height and width that the network takes; other
	// images are padded with zeros at the right and the bottom.
	SizeMultiple int `json:"sizeMultiple"`
}

// Normalisation says what the network must be told of an image's brightness.
type Normalisation struct {
	// Kind is none (the network takes the image as it is) or percentile-window
	// (it also takes a window of grey values, which package segmentation computes).
	Kind string `json:"kind"`
	// Input names the graph input that takes the window: float32, two elements,
	// low and high.
	Input string `json:"input,omitempty"`
	// Low and High are shares of the pixels that count, 0 to 1.
	Low  float64 `json:"low,omitempty"`
	High float64 `json:"high,omitempty"`
	// IgnoreBelowOrEqual is the largest grey value that does not count.
	IgnoreBelowOrEqual int `json:"ignoreBelowOrEqual,omitempty"`
}

// Output is the graph output that gives the classes.
type Output struct {
	Name string `json:"name"`
	// Type and Layout: uint8 and NHW for a mask, 1 x height x width, one class a
	// pixel; float32 and NCHW for scores, 1 x classes x height x width, where
	// the largest counts, of equal ones the first.
	Type   string `json:"type"`
	Layout string `json:"layout"`
}

// The values of Input.Type, Output.Type, the layouts and Normalisation.Kind.
const (
	TypeUint8                     = "uint8"
	TypeFloat32                   = "float32"
	LayoutNCHW                    = "NCHW"
	LayoutNHW                     = "NHW"
	NormalisationNone             = "none"
	NormalisationPercentileWindow = "percentile-window"
)

// maxSizeMultiple keeps the padding of a small image small.
const maxSizeMultiple = 256

var versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)

// ParseManifest reads and checks a manifest. Fields that this version does not
// know are refused: they might change what the mask means. An error wraps
// ErrManifest.
func ParseManifest(document []byte) (*Manifest, error) {
	// The version first, so that a later format is named as such and not by the
	// fields that it adds.
	var version struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(document, &version); err == nil && version.SchemaVersion != SchemaVersion {
		return nil, fmt.Errorf("%w: schemaVersion is %d, and this version of the program reads %d", ErrManifest, version.SchemaVersion, SchemaVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	m := new(Manifest)
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the JSON object", ErrManifest)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, nil
}

func (m *Manifest) check() error {
	switch {
	case m.Name == "" || len(m.Name) > 128:
		return errors.New("name must have 1 to 128 bytes")
	case !versionPattern.MatchString(m.Version):
		return fmt.Errorf("version %q must be letters, digits and .+_-, at most 64", m.Version)
	case m.File == "" || m.File != filepath.Base(m.File) || !filepath.IsLocal(m.File) || m.File == ".":
		return fmt.Errorf("file %q must be a plain file name", m.File)
	}
	if sum, err := hex.DecodeString(m.SHA256); err != nil || len(sum) != 32 || hex.EncodeToString(sum) != m.SHA256 {
		return errors.New("sha256 must be 64 hexadecimal digits in lower case")
	}
	if err := m.Input.check(); err != nil {
		return err
	}
	if err := m.Normalisation.check(); err != nil {
		return err
	}
	if err := m.Output.check(); err != nil {
		return err
	}
	if m.Normalisation.Input == m.Input.Name {
		return fmt.Errorf("input.name and normalisation.input are both %q", m.Input.Name)
	}
	if m.Parameters < 0 {
		return errors.New("parameters must not be negative")
	}
	return checkClasses(m.Classes)
}

func (i Input) check() error {
	switch {
	case i.Name == "":
		return errors.New("input.name is missing")
	case i.Type != TypeUint8 && i.Type != TypeFloat32:
		return fmt.Errorf("input.type %q must be uint8 or float32", i.Type)
	case i.Layout != LayoutNCHW:
		return fmt.Errorf("input.layout %q must be NCHW", i.Layout)
	case i.Channels != 1:
		return fmt.Errorf("input.channels is %d, and only models of 1 channel can be run", i.Channels)
	case i.SizeMultiple < 1 || i.SizeMultiple > maxSizeMultiple:
		return fmt.Errorf("input.sizeMultiple is %d and must be 1 to %d", i.SizeMultiple, maxSizeMultiple)
	}
	return nil
}

func (n Normalisation) check() error {
	switch n.Kind {
	case NormalisationNone:
		if n != (Normalisation{Kind: NormalisationNone}) {
			return errors.New("normalisation of kind none takes no other fields")
		}
	case NormalisationPercentileWindow:
		switch {
		case n.Input == "":
			return errors.New("normalisation.input is missing")
		case !(0 <= n.Low && n.Low < n.High && n.High <= 1):
			return fmt.Errorf("normalisation.low %v and high %v must be 0 <= low < high <= 1", n.Low, n.High)
		case n.IgnoreBelowOrEqual < -1 || n.IgnoreBelowOrEqual > 254:
			return fmt.Errorf("normalisation.ignoreBelowOrEqual is %d and must be -1 (none) to 254", n.IgnoreBelowOrEqual)
		}
	default:
		return fmt.Errorf("normalisation.kind %q must be none or percentile-window", n.Kind)
	}
	return nil
}

func (o Output) check() error {
	switch {
	case o.Name == "":
		return errors.New("output.name is missing")
	case o.Type == TypeUint8 && o.Layout == LayoutNHW, o.Type == TypeFloat32 && o.Layout == LayoutNCHW:
		return nil
	}
	return fmt.Errorf("output is %q in layout %q and must be uint8 in NHW (a mask) or float32 in NCHW (scores)", o.Type, o.Layout)
}
