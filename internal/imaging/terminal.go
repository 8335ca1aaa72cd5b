package imaging

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"io"
)

// maxColumns is far above any terminal; it bounds the picture's memory.
const maxColumns = 1000

// TerminalPicture writes a small picture of the overlay, columns characters
// wide, with half blocks in 24-bit colour escape sequences, each line ended by
// a reset and a newline. Each character shows two square cells, one above the
// other, each the mean of the overlay's pixels below it; a picture narrower
// than columns is shown pixel by pixel. Whether the terminal can show it is for
// the caller to know. Errors as for EncodeOverlay.
func TerminalPicture(w io.Writer, slice *image.Gray, mask []uint8, palette Palette, columns int) error {
	if err := checkSlice(slice, mask); err != nil {
		return fmt.Errorf("draw for the terminal: %w", err)
	}
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	columns = max(1, min(columns, width, maxColumns))
	rows := max(1, min((height*columns+width/2)/width, 10*maxColumns))
	blend := newBlender(palette, DefaultOpacity)
	cell := func(column, row int) color.RGBA {
		x0, x1 := column*width/columns, (column+1)*width/columns
		y0, y1 := row*height/rows, (row+1)*height/rows
		y1 = max(y1, y0+1)
		var r, g, b, n uint64
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				c := blend.at(slice.Pix[y*width+x], mask[y*width+x])
				r, g, b, n = r+uint64(c.R), g+uint64(c.G), b+uint64(c.B), n+1
			}
		}
		return color.RGBA{uint8(r / n), uint8(g / n), uint8(b / n), 0xff}
	}
	var out bytes.Buffer
	for row := 0; row < rows; row += 2 {
		for column := range columns {
			top := cell(column, row)
			fmt.Fprintf(&out, "\x1b[38;2;%d;%d;%d", top.R, top.G, top.B)
			if row+1 < rows {
				bottom := cell(column, row+1)
				fmt.Fprintf(&out, ";48;2;%d;%d;%d", bottom.R, bottom.G, bottom.B)
			}
			out.WriteString("m▀")
		}
		out.WriteString("\x1b[0m\n")
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("draw for the terminal: %w", err)
	}
	return nil
}
