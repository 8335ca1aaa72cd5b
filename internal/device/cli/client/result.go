package client

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/output"
)

// showResult prints a table of the tissues, where mask and overlay are, and on
// a colour terminal a small picture.
func showResult(w io.Writer, image string, r request.Result) error {
	if r.Error != nil {
		code := string(r.Error.Code)
		if r.Error.Reason != "" {
			code += ": " + r.Error.Reason
		}
		return fmt.Errorf("%s (%s)", r.Error.Message, code)
	}
	if r.Scan != nil {
		fmt.Fprintln(w)
		showScan(w, r.Scan)
		showOrigin(w, r)
		return nil
	}
	if colourTerminal(w) {
		if err := showPicture(w, image, r); err != nil {
			fmt.Fprintf(w, "(no picture: %v)\n", err)
		}
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "tissue\tpixels\tshare\t")
	for _, t := range r.Tissues {
		if t.Value != 0 {
			fmt.Fprintf(table, "%s\t%d\t%.1f %%\t\n", t.Name, t.Pixels, 100*t.Share)
		}
	}
	table.Flush()
	fmt.Fprintln(w)
	for _, file := range []struct {
		name string
		*request.File
	}{{"mask", r.Mask}, {"overlay", r.Overlay}} {
		if file.File != nil {
			fmt.Fprintf(w, "%-8s %s%s\n", file.name, output.Name(command.Relative(file.Path)), output.Name(file.URI))
		}
	}
	if r.Image != nil {
		for _, doubt := range command.Doubts(r.Image) {
			fmt.Fprintf(w, "%-8s %s\n", "doubt", doubt)
		}
	}
	showOrigin(w, r)
	return nil
}

// showOrigin prints how long it took and which model it was.
func showOrigin(w io.Writer, r request.Result) {
	if r.Timings != nil {
		fmt.Fprintf(w, "%-8s %.1f ms, of which %.1f ms in the network\n", "time", r.Timings.Total, r.Timings.Inference)
	}
	if r.Model != nil {
		fmt.Fprintf(w, "%-8s %s %s\n", "model", r.Model.Name, r.Model.Version)
	}
}

func colourTerminal(w io.Writer) bool {
	file := output.File(w)
	if file == nil || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" {
		return false
	}
	return os.Getenv("COLORTERM") != "" || strings.Contains(os.Getenv("TERM"), "color") || strings.Contains(os.Getenv("TERM"), "kitty")
}

// showPicture draws slice and mask from their files.
func showPicture(w io.Writer, image string, r request.Result) error {
	if r.Mask == nil || r.Mask.Path == "" {
		return errors.New("the mask is not on this device")
	}
	encoded, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	slice, _, err := imaging.Decode(encoded, imaging.Limits{})
	if err != nil {
		return err
	}
	if encoded, err = os.ReadFile(r.Mask.Path); err != nil {
		return err
	}
	classes, err := readMask(encoded)
	if err != nil {
		return fmt.Errorf("read the mask: %w", err)
	}
	palette := make(imaging.Palette, 256)
	for _, t := range r.Tissues {
		if rgb, err := strconv.ParseUint(strings.TrimPrefix(t.Colour, "#"), 16, 24); err == nil && t.Value != 0 {
			palette[t.Value] = color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
		}
	}
	return imaging.TerminalPicture(w, slice, classes, palette, 64)
}

// readMask returns the classes of a mask PNG, one a pixel, row by row.
func readMask(encoded []byte) ([]uint8, error) {
	grey, _, err := imaging.Decode(encoded, imaging.Limits{})
	if err != nil {
		return nil, err
	}
	if config, err := png.DecodeConfig(bytes.NewReader(encoded)); err != nil || config.ColorModel != color.GrayModel {
		return nil, errors.New("it is not 8-bit grey")
	}
	return grey.Pix, nil
}
