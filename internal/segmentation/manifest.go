package segmentation

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
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
	// (it also takes a Window, computed by PercentileWindow).
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

// Class is what a value of the mask means.
type Class struct {
	Value uint8  `json:"value"`
	Name  string `json:"name"`
	// Colour in overlays, #rrggbb.
	Colour string `json:"colour"`
}

// The values of Input.Type, Output.Type, the layouts and Normalisation.Kind.
const (
	typeUint8            = "uint8"
	typeFloat32          = "float32"
	layoutNCHW           = "NCHW"
	layoutNHW            = "NHW"
	kindNone             = "none"
	kindPercentileWindow = "percentile-window"
)

// maxSizeMultiple keeps the padding of a small image small.
const maxSizeMultiple = 256

var (
	colourPattern  = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)
)

// RGBA returns the class' colour, opaque.
func (c Class) RGBA() color.RGBA {
	rgb := make([]byte, 3)
	if len(c.Colour) == 7 {
		hex.Decode(rgb, []byte(c.Colour[1:])) // ParseManifest has checked it
	}
	return color.RGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 0xff}
}

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
	case i.Type != typeUint8 && i.Type != typeFloat32:
		return fmt.Errorf("input.type %q must be uint8 or float32", i.Type)
	case i.Layout != layoutNCHW:
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
	case kindNone:
		if n != (Normalisation{Kind: kindNone}) {
			return errors.New("normalisation of kind none takes no other fields")
		}
	case kindPercentileWindow:
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
	case o.Type == typeUint8 && o.Layout == layoutNHW, o.Type == typeFloat32 && o.Layout == layoutNCHW:
		return nil
	}
	return fmt.Errorf("output is %q in layout %q and must be uint8 in NHW (a mask) or float32 in NCHW (scores)", o.Type, o.Layout)
}

func checkClasses(classes []Class) error {
	if len(classes) < 2 || len(classes) > 256 {
		return fmt.Errorf("there are %d classes and must be 2 to 256", len(classes))
	}
	names := make(map[string]bool)
	for i, c := range classes {
		switch {
		case int(c.Value) != i:
			return fmt.Errorf("classes[%d] has value %d; the values must be 0, 1, 2... in order", i, c.Value)
		case c.Name == "" || names[c.Name]:
			return fmt.Errorf("classes[%d] must have a name of its own, and has %q", i, c.Name)
		case !colourPattern.MatchString(c.Colour):
			return fmt.Errorf("classes[%d].colour %q must be #rrggbb", i, c.Colour)
		}
		names[c.Name] = true
	}
	return nil
}
