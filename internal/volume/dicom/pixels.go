package dicom

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

// pixels fills scan with the values of the frames.
func (c *catalogue) pixels(ctx context.Context, scan *volume.Scan, g *ordered) error {
	places := make(map[*images.Object]map[int]int) // of the frames: which slice each is
	var objects []*images.Object
	for z, f := range g.frames {
		if places[f.Object] == nil {
			places[f.Object] = make(map[int]int)
			objects = append(objects, f.Object)
		}
		places[f.Object][f.Index] = z
	}
	varies := scalingVaries(g.frames)
	plane := g.size[0] * g.size[1]
	scan.Values = make([]float32, plane*g.size[2])
	for _, o := range objects {
		err := c.decoder.Decode(ctx, o.File, &o.Format, func(index int, samples []int32) error {
			z, wanted := places[o][index]
			if !wanted {
				return nil
			}
			f := &o.Frames[index]
			into := scan.Values[z*plane:][:plane]
			for i, v := range samples {
				into[i] = f.Value(v)
			}
			if p := o.Padding; p != nil && varies {
				// No range of values stands for padding in all slices.
				for i, v := range samples {
					if int(v) >= p[0] && int(v) <= p[1] {
						into[i] = float32(math.NaN())
					}
				}
			}
			return nil
		})
		if err != nil {
			return inFile(err, o.File.Name)
		}
	}
	c.tell(scan, g)
	return nil
}

// scalingVaries tells whether slices have scalings of their own.
func scalingVaries(frames []*images.Frame) bool {
	return slices.ContainsFunc(frames, func(f *images.Frame) bool {
		return f.Slope != frames[0].Slope || f.Intercept != frames[0].Intercept
	})
}

// tell fills in what is said of the pixels, and warns of choices.
func (c *catalogue) tell(scan *volume.Scan, g *ordered) {
	first := g.frames[0]
	o := first.Object
	sign := "uint"
	if o.Signed {
		sign = "int"
	}
	scan.DataType = fmt.Sprintf("%s%d", sign, o.BitsAllocated)
	scan.TransferSyntax = o.Syntax.Name
	scaling := volume.Scaling{Slope: first.Slope, Intercept: first.Intercept, Varies: scalingVaries(g.frames)}
	warned := make(map[string]bool)
	warn := func(name, text string) {
		if !warned[name] {
			warned[name] = true
			scan.Warn(name, "%s", text)
		}
	}
	padding := "the file names a padding value; such voxels keep it and are no tissue"
	if scaling.Varies {
		padding = "the file names a padding value; such voxels count as not finite, for it is another in each slice"
	}
	for _, f := range g.frames {
		if f.Object.Photometric == "MONOCHROME1" {
			warn("monochrome1-turned", "low values are bright in the file (MONOCHROME1); the order of grey was turned")
		}
		if f.Object.Photometric == "" {
			warn("photometric-missing", "PhotometricInterpretation is missing; high values were taken as bright")
		}
		for _, n := range f.Object.Notes {
			warn(n.Name, n.Text)
		}
		if f.Object.Corrected {
			warn("syntax-corrected", "the data are not encoded as the file's transfer syntax says; they were read as they are")
		}
		if f.Object.Padding != nil {
			warn("padding", padding)
		}
		if f.Slope < 0 {
			warn("scaling-negative", "RescaleSlope is negative; values are turned as it says")
		}
		if !f.Object.IsMR() {
			warn("not-mr", "the images are not from MR by their modality")
		}
	}
	if scaling.Varies {
		scan.Warn("scaling-varies", "RescaleSlope or RescaleIntercept differ between slices; each was scaled by its own")
	}
	if scaling != (volume.Scaling{Slope: 1}) {
		scan.Scaling = &scaling
	}
	if p := o.Padding; p != nil && !scaling.Varies {
		a, b := first.Value(int32(p[0])), first.Value(int32(p[1]))
		scan.Padding = &volume.Range{Low: min(a, b), High: max(a, b)}
	}
}
