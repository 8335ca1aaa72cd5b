package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/volume"
)

// pageSource is the page with marks for what changes, such as @title@. It is no
// template of html/template: that package calls methods by name, for which the
// linker keeps every method of every type, and the program grows by two thirds.
//
//go:embed page.html
var pageSource string

// levels are the places of the slices shown, as shares of the brain's extent.
var levels = []float64{0.2, 0.35, 0.5, 0.65, 0.8}

// picture is one slice on the page, as it is and with its tissues.
type picture struct {
	plain, overlay string // as data: URLs
	// width and height in mm: voxels need not be square.
	width, height int
	caption       string
}

// planeView is a row of pictures.
type planeView struct {
	name     string
	pictures []picture
}

// WritePage writes the report as one HTML file that needs nothing else.
func (r Report) WritePage(w io.Writer, title string, in Input) error {
	views, err := pictures(in)
	if err != nil {
		return fmt.Errorf("draw the report: %w", err)
	}
	_, err = strings.NewReplacer(
		"@title@", html.EscapeString(title),
		"@volumes@", r.volumesHTML(),
		"@quality@", r.qualityHTML(),
		"@pictures@", picturesHTML(views),
		"@origin@", r.originHTML(),
	).WriteString(w, pageSource)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func pictures(in Input) ([]planeView, error) {
	view := in.Scan.View()
	grey := in.Scan.Grey()
	spacing := view.Spacing()
	palette := palette(in.Classes)
	var views []planeView
	for _, plane := range []volume.Plane{volume.Axial, volume.Coronal, volume.Sagittal} {
		v := planeView{name: plane.String()}
		from, to := extent(in.Labels, view, plane)
		across, up := plane.PictureAxes()
		for _, level := range levels {
			index := from + int(level*float64(to-from))
			slice, mask := view.Picture(grey, plane, index), view.Picture(in.Labels.Values, plane, index)
			p := picture{
				width: max(1, int(float64(view.Size[across])*spacing[across]+0.5)), height: max(1, int(float64(view.Size[up])*spacing[up]+0.5)),
				caption: fmt.Sprintf("%s %d of %d", plane, index+1, view.Size[plane]),
			}
			var err error
			if p.plain, err = dataURL(func(w io.Writer) error { return png.Encode(w, slice) }); err != nil {
				return nil, err
			}
			if p.overlay, err = dataURL(func(w io.Writer) error {
				return imaging.EncodeOverlay(w, slice, mask.Pix, palette, imaging.OverlayOptions{})
			}); err != nil {
				return nil, err
			}
			v.pictures = append(v.pictures, p)
		}
		views = append(views, v)
	}
	return views, nil
}

// extent is the first and the last slice of the plane with tissue, or all of the
// scan where there is none.
func extent(labels volume.Labels, view volume.View, plane volume.Plane) (from, to int) {
	from, to = -1, view.Size[plane]-1
	for index := range view.Size[plane] {
		if slices.ContainsFunc(view.Picture(labels.Values, plane, index).Pix, func(v uint8) bool { return v != 0 }) {
			if from < 0 {
				from = index
			}
			to = index
		}
	}
	return max(from, 0), to
}

func dataURL(encode func(io.Writer) error) (string, error) {
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

func palette(classes []Class) imaging.Palette {
	p := make(imaging.Palette, len(classes))
	for _, c := range classes {
		rgb, err := hex.DecodeString(strings.TrimPrefix(c.Colour, "#"))
		if err == nil && len(rgb) == 3 && c.Value != 0 && int(c.Value) < len(p) {
			p[c.Value] = color.RGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 0xff}
		}
	}
	return p
}

// WritePicture writes the middle row of each plane as one PNG, for mail and
// slides: tissues over the slice.
func WritePicture(w io.Writer, in Input) error {
	view := in.Scan.View()
	grey := in.Scan.Grey()
	spacing := view.Spacing()
	colours := palette(in.Classes)
	var parts []image.Image
	width, height := 0, 0
	for _, plane := range []volume.Plane{volume.Axial, volume.Coronal, volume.Sagittal} {
		from, to := extent(in.Labels, view, plane)
		across, up := plane.PictureAxes()
		index := (from + to) / 2
		var b bytes.Buffer
		if err := imaging.EncodeOverlay(&b, view.Picture(grey, plane, index), view.Picture(in.Labels.Values, plane, index).Pix, colours, imaging.OverlayOptions{}); err != nil {
			return fmt.Errorf("draw the report: %w", err)
		}
		drawn, err := png.Decode(&b)
		if err != nil {
			return fmt.Errorf("draw the report: %w", err)
		}
		part := scaled(drawn, max(1, int(float64(view.Size[across])*spacing[across]+0.5)), max(1, int(float64(view.Size[up])*spacing[up]+0.5)))
		parts = append(parts, part)
		width += part.Rect.Dx()
		height = max(height, part.Rect.Dy())
	}
	sheet := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := 3; i < len(sheet.Pix); i += 4 {
		sheet.Pix[i] = 0xff
	}
	left := 0
	for _, part := range parts {
		size := part.Bounds().Size()
		top := (height - size.Y) / 2
		for y := range size.Y {
			for x := range size.X {
				sheet.Set(left+x, top+y, part.At(x, y))
			}
		}
		left += size.X
	}
	if err := png.Encode(w, sheet); err != nil {
		return fmt.Errorf("draw the report: %w", err)
	}
	return nil
}

// scaled takes the nearest pixels: a picture of labels must not mix them.
func scaled(from image.Image, width, height int) *image.RGBA {
	to := image.NewRGBA(image.Rect(0, 0, width, height))
	size := from.Bounds().Size()
	for y := range height {
		for x := range width {
			to.Set(x, y, from.At(x*size.X/width, y*size.Y/height))
		}
	}
	return to
}
