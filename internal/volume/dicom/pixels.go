package dicom

import (
	"context"
	"fmt"

	"github.com/brainseg/brainseg/internal/volume"
)

// pixels fills scan with the values of the frames.
func (c *catalogue) pixels(ctx context.Context, scan *volume.Scan, g *ordered) error {
	places := make(map[*object]map[int]int) // of the frames: which slice each is
	var objects []*object
	for z, f := range g.frames {
		if places[f.object] == nil {
			places[f.object] = make(map[int]int)
			objects = append(objects, f.object)
		}
		places[f.object][f.index] = z
	}
	plane := g.size[0] * g.size[1]
	scan.Values = make([]float32, plane*g.size[2])
	for _, o := range objects {
		err := c.decoder.Decode(ctx, o.file, &o.Format, func(index int, samples []int32) error {
			z, wanted := places[o][index]
			if !wanted {
				return nil
			}
			f := &o.frames[index]
			into := scan.Values[z*plane:][:plane]
			for i, v := range samples {
				into[i] = f.value(v)
			}
			return nil
		})
		if err != nil {
			return inFile(err, o.file.Name)
		}
	}
	c.tell(scan, g)
	return nil
}

// value scales a stored number. MONOCHROME1, where low is bright, is turned
// first.
func (f *frame) value(stored int32) float32 {
	v := float64(stored)
	if f.object.photometric == "MONOCHROME1" {
		v = f.object.highest() - v
	}
	return float32(float64(v*f.slope) + f.inter)
}

// highest is the sum of the lowest and the highest number that can be stored: a
// value taken from it is turned.
func (o *object) highest() float64 {
	if o.Signed {
		return -1
	}
	return float64(uint64(1)<<o.BitsStored - 1)
}

// tell fills in what is said of the pixels, and warns of choices.
func (c *catalogue) tell(scan *volume.Scan, g *ordered) {
	first := g.frames[0]
	o := first.object
	sign := "uint"
	if o.Signed {
		sign = "int"
	}
	scan.DataType = fmt.Sprintf("%s%d", sign, o.BitsAllocated)
	scan.TransferSyntax = o.Syntax.Name
	scaling := volume.Scaling{Slope: first.slope, Intercept: first.inter}
	warned := make(map[string]bool)
	warn := func(name, text string) {
		if !warned[name] {
			warned[name] = true
			scan.Warn(name, "%s", text)
		}
	}
	for _, f := range g.frames {
		scaling.Varies = scaling.Varies || f.slope != first.slope || f.inter != first.inter
		if f.object.photometric == "MONOCHROME1" {
			warn("monochrome1-turned", "low values are bright in the file (MONOCHROME1); the order of grey was turned")
		}
		if f.object.photometric == "" {
			warn("photometric-missing", "PhotometricInterpretation is missing; high values were taken as bright")
		}
		for _, n := range f.object.Notes {
			warn(n.Name, n.Text)
		}
		if f.object.corrected {
			warn("syntax-corrected", "the data are not encoded as the file's transfer syntax says; they were read as they are")
		}
		if f.object.padding != nil {
			warn("padding", "the file names a padding value; such voxels keep it and are no tissue")
		}
		if f.slope < 0 {
			warn("scaling-negative", "RescaleSlope is negative; values are turned as it says")
		}
		if !f.object.isMR() {
			warn("not-mr", "the images are not from MR by their modality")
		}
	}
	if scaling.Varies {
		scan.Warn("scaling-varies", "RescaleSlope or RescaleIntercept differ between slices; each was scaled by its own")
	}
	if scaling != (volume.Scaling{Slope: 1}) {
		scan.Scaling = &scaling
	}
	if p := o.padding; p != nil && !scaling.Varies {
		a, b := first.value(int32(p[0])), first.value(int32(p[1]))
		scan.Padding = &volume.Range{Low: min(a, b), High: max(a, b)}
	}
}
