// Package report turns a segmented scan into what people use: millilitres of
// each tissue, a word of warning where they cannot be trusted, tables for other
// programs, and a page that shows the result.
//
// It reads no scan and runs no network; the commands of brainseg call it with
// the scan, its labels and what the classes mean. Nothing of a header but the
// grid and, in the reader's warnings, UIDs of series gets in: no name, date or
// number of a patient.
package report

import (
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

// Class is what a label means.
type Class struct {
	Value uint8
	Name  string
	// Colour is #rrggbb.
	Colour string
}

// Input is what a report is made of.
type Input struct {
	// Scan and Labels have the same grid.
	Scan   *volume.Volume
	Labels volume.Labels
	// Classes in order of value; class 0 is the background.
	Classes []Class
	// Planes that were run, and the share of voxels on which they agree.
	Planes    []volume.Plane
	Slices    int
	Agreement float64
	Thick     bool
	// Confidence and Known are what the network says of its masks, 0 to 1; see
	// threeplane.Result. Not above 0: it says nothing.
	Confidence, Known float64
	Model             Model
	// Warnings are those of the reader.
	Warnings []volume.Warning
	// Seconds that the segmentation took.
	Seconds float64
}

// Model names the network.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Report is the result of one scan. Its JSON form is the machine's copy of the
// page.
type Report struct {
	// Tissues without the background.
	Tissues []Tissue `json:"tissues"`
	// BrainMillilitres is the sum of the tissues.
	BrainMillilitres float64  `json:"brainMl"`
	Quality          Quality  `json:"quality"`
	Grid             Grid     `json:"grid"`
	Planes           []string `json:"planes"`
	Slices           int      `json:"slices"`
	Model            Model    `json:"model"`
	Seconds          float64  `json:"seconds"`
	// Warnings are the choices that the reader made.
	Warnings []volume.Warning `json:"warnings,omitempty"`
}

// Tissue is the volume of one class.
type Tissue struct {
	Value       uint8   `json:"value"`
	Name        string  `json:"name"`
	Colour      string  `json:"colour"`
	Voxels      int     `json:"voxels"`
	Millilitres float64 `json:"ml"`
	// Fraction of the brain's volume, 0 to 1.
	Fraction float64 `json:"fraction"`
}

// Grid is that of scan and label map.
type Grid struct {
	Size        [3]int        `json:"size"`
	Spacing     [3]float64    `json:"spacingMm"`
	Orientation string        `json:"orientation"`
	Affine      [3][4]float64 `json:"affine"`
}

// Make counts and judges.
func Make(in Input) Report {
	r := Report{
		Grid: Grid{
			Size: in.Scan.Size, Spacing: in.Scan.Spacing(), Orientation: in.Scan.Orientation().Letters(), Affine: in.Scan.Affine,
		},
		Slices: in.Slices, Model: in.Model, Seconds: rounded(in.Seconds, 100), Warnings: in.Warnings,
	}
	for i, mm := range r.Grid.Spacing {
		r.Grid.Spacing[i] = rounded(mm, 1e6)
	}
	for _, p := range in.Planes {
		r.Planes = append(r.Planes, p.String())
	}
	var counts [256]int
	for _, v := range in.Labels.Values {
		counts[v]++
	}
	voxel := in.Labels.VoxelVolume() / 1000
	for _, class := range in.Classes {
		if class.Value != 0 {
			r.BrainMillilitres += float64(counts[class.Value]) * voxel
		}
	}
	for _, class := range in.Classes {
		if class.Value == 0 {
			continue
		}
		t := Tissue{Value: class.Value, Name: class.Name, Colour: class.Colour, Voxels: counts[class.Value]}
		ml := float64(t.Voxels) * voxel
		if r.BrainMillilitres > 0 {
			t.Fraction = rounded(ml/r.BrainMillilitres, 1e4)
		}
		t.Millilitres = rounded(ml, 100)
		r.Tissues = append(r.Tissues, t)
	}
	r.Quality = judge(in, r.BrainMillilitres, counts)
	r.BrainMillilitres = rounded(r.BrainMillilitres, 100)
	return r
}

// rounded keeps the digits that mean something.
func rounded(v, unit float64) float64 { return math.Round(v*unit) / unit }
