package model

import (
	"encoding/hex"
	"fmt"
	"image/color"
	"regexp"
)

// Class is what a value of the mask means.
type Class struct {
	Value uint8  `json:"value"`
	Name  string `json:"name"`
	// Colour in overlays, #rrggbb.
	Colour string `json:"colour"`
}

// Tissues are the classes of a brain where no manifest says otherwise: those of a
// network that was converted without one, in the colours of trained ones (CLASSES
// in model-build/training).
var Tissues = []Class{
	{Value: 0, Name: "background", Colour: "#000000"},
	{Value: 1, Name: "csf", Colour: "#3b82f6"},
	{Value: 2, Name: "grey-matter", Colour: "#e07a5f"},
	{Value: 3, Name: "white-matter", Colour: "#f4f1de"},
}

var colourPattern = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// RGBA returns the class' colour, opaque.
func (c Class) RGBA() color.RGBA {
	rgb := make([]byte, 3)
	if len(c.Colour) == 7 {
		hex.Decode(rgb, []byte(c.Colour[1:])) // ParseManifest has checked it
	}
	return color.RGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 0xff}
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

// Palette gives each class its colour by value, but the background none.
func (m *Manifest) Palette() []color.RGBA {
	palette := make([]color.RGBA, len(m.Classes))
	for _, class := range m.Classes {
		if class.Value != 0 {
			palette[class.Value] = class.RGBA()
		}
	}
	return palette
}
