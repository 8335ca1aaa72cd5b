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
	"slices"
)

// The versions of the manifest format that this package reads. What it writes
// has the oldest that says it all. schemas/model-manifest.schema.json describes
// both.
const (
	// SchemaVersion is the format in which every member counts: what a reader
	// does not know, it refuses.
	SchemaVersion = 1
	// SchemaVersionRequires is the format in which a reader passes over what it
	// does not know, and refuses what Requires names and it does not understand.
	SchemaVersionRequires = 2
)

// understood are the names that may stand in Requires. No model needs a reader
// that takes its scores or its judgement: a mask is what all of them give.
var understood = []string{FeatureFrame, "scores", "judgement"}

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
	// Requires names what a reader must understand to run the model at all.
	Requires []string `json:"requires,omitempty"`
	// Frame is nil where images are shown as they are.
	Frame *Frame `json:"frame,omitempty"`
	// Scores is nil where the graph gives none beside its mask, Judgement where
	// it does not judge itself.
	Scores    *ScoresOutput    `json:"scores,omitempty"`
	Judgement *JudgementOutput `json:"judgement,omitempty"`
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

// ScoresOutput is the graph output that tells how sure each class is of each pixel:
// uint8, 255 times the softmax, 1 x classes x height x width. The graph works
// them out in runs that ask for them only.
type ScoresOutput struct {
	Name string `json:"name"`
	// Type is uint8, Layout NCHW.
	Type   string `json:"type"`
	Layout string `json:"layout"`
	// Switch names the graph input that asks for them: bool, one element, false
	// where it is not fed. While it is false the output has the shape 1 x 1 x 1 x 1.
	Switch string `json:"switch"`
}

// JudgementOutput is the graph output in which a network judges its own mask: float32,
// two elements, those of Judgement in their order.
type JudgementOutput struct {
	Name string `json:"name"`
	// LeastKnown is the Known below which the slice is taken for something else.
	LeastKnown float64 `json:"leastKnown"`
}

// Judgement is what a network says of its own mask. Each is 0 to 1.
type Judgement struct {
	// Confidence is how likely the mask is good.
	Confidence float64
	// Known is how likely the slice is of the kind that the network was trained
	// for.
	Known float64
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

// ParseManifest reads and checks a manifest. What of a manifest of version 1 is not
// known here is refused, for it might change what the mask means; of version 2
// what Requires names and is not understood. An error wraps ErrManifest.
func ParseManifest(document []byte) (*Manifest, error) {
	// The version first, so that a later format is named as such and not by the
	// fields that it adds.
	var version struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(document, &version); err == nil && version.SchemaVersion != SchemaVersion && version.SchemaVersion != SchemaVersionRequires {
		return nil, fmt.Errorf("%w: schemaVersion is %d, and this version of the program reads %d and %d", ErrManifest, version.SchemaVersion, SchemaVersion, SchemaVersionRequires)
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	if version.SchemaVersion == SchemaVersion {
		decoder.DisallowUnknownFields()
	}
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
	if err := m.checkFormat(); err != nil {
		return err
	}
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
	if err := m.checkMore(); err != nil {
		return err
	}
	if m.Parameters < 0 {
		return errors.New("parameters must not be negative")
	}
	return checkClasses(m.Classes)
}

// checkFormat tells whether this version of the program understands the manifest.
func (m *Manifest) checkFormat() error {
	if m.SchemaVersion == SchemaVersion && (m.Requires != nil || m.Frame != nil || m.Scores != nil || m.Judgement != nil) {
		return fmt.Errorf("requires, frame, scores and judgement are of schemaVersion %d, and this is %d", SchemaVersionRequires, m.SchemaVersion)
	}
	if m.Frame != nil && !slices.Contains(m.Requires, FeatureFrame) {
		return fmt.Errorf("a model with a frame must require %q", FeatureFrame)
	}
	for _, name := range m.Requires {
		if !slices.Contains(understood, name) {
			return fmt.Errorf("the model requires %q, which this version of the program does not understand; take a later version of the component, or an earlier one of the model", name)
		}
	}
	return nil
}

// checkMore checks how images are laid, and what a graph may give beside its mask.
func (m *Manifest) checkMore() error {
	if m.Frame != nil {
		if err := m.Frame.check(); err != nil {
			return err
		}
	}
	names := []string{m.Output.Name}
	if s := m.Scores; s != nil {
		switch {
		case s.Name == "":
			return errors.New("scores.name is missing")
		case s.Type != TypeUint8 || s.Layout != LayoutNCHW:
			return fmt.Errorf("scores are %q in layout %q and must be uint8 in NCHW", s.Type, s.Layout)
		case s.Switch == "":
			return errors.New("scores.switch is missing")
		case s.Switch == m.Input.Name || s.Switch == m.Normalisation.Input:
			return fmt.Errorf("scores.switch and another input are both %q", s.Switch)
		case m.Output.Layout != LayoutNHW:
			return errors.New("scores stand beside a mask only, and output gives scores itself")
		}
		names = append(names, s.Name)
	}
	if j := m.Judgement; j != nil {
		switch {
		case j.Name == "":
			return errors.New("judgement.name is missing")
		case !(0 <= j.LeastKnown && j.LeastKnown <= 1):
			return fmt.Errorf("judgement.leastKnown is %v and must be 0 to 1", j.LeastKnown)
		}
		names = append(names, j.Name)
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) < len(names) {
		return fmt.Errorf("output, scores and judgement must be outputs of different names, and are %q", names)
	}
	return nil
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
