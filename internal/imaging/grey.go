package imaging

import (
	"fmt"
	"image"
	"image/color"
)

// toGrey returns picture as tightly packed 8-bit grey by the rules of Decode, and
// what it had to bear. The types are those that image/png and image/jpeg produce.
func toGrey(picture image.Image) (*image.Gray, []Flag, error) {
	switch p := picture.(type) {
	case *image.Gray:
		return pack(p), nil, nil
	case *image.Paletted:
		slice, flags := fromPaletted(p)
		return slice, flags, nil
	case *image.RGBA: // opaque: RGB PNG and RGB JPEG
		return fromPixels(p.Rect, p.Pix, p.Stride, false), nil, nil
	case *image.NRGBA:
		meaningless := constantAlpha(p.Pix[3:], 4, 1)
		return fromPixels(p.Rect, p.Pix, p.Stride, !meaningless), flagIf(meaningless && p.Pix[3] != 0xff, FlagAlphaIgnored), nil
	case *image.YCbCr:
		return fromYCbCr(p), nil, nil
	case *image.CMYK:
		return fromCMYK(p), nil, nil
	case *image.Gray16:
		slice, flags := from16(p.Rect, p.Pix, 1)
		return slice, flags, nil
	case *image.RGBA64: // opaque: 16-bit RGB PNG
		slice, flags := from16(p.Rect, p.Pix, 4)
		return slice, flags, nil
	case *image.NRGBA64:
		slice, flags := from16(p.Rect, p.Pix, 4)
		return slice, flags, nil
	}
	return nil, nil, fmt.Errorf("%w: pixels of type %T", ErrUnsupported, picture)
}

// constantAlpha reports whether a channel has one value in all pixels, which
// begin every step bytes; its samples have n bytes.
func constantAlpha(channel []uint8, step, n int) bool {
	for i := step; i < len(channel); i += step {
		if channel[i] != channel[0] || channel[i+n-1] != channel[n-1] {
			return false
		}
	}
	return true
}

// grey8 is the weighted grey of a straight-alpha colour on black.
func grey8(r, g, b, a uint8) uint8 {
	sum := (30*uint32(r) + 59*uint32(g) + 11*uint32(b)) * uint32(a)
	return uint8(divideRounded(sum, 100*0xff))
}

// opaqueGrey8 is grey8 with alpha 255, a multiplication and a wide division less.
func opaqueGrey8(r, g, b uint8) uint8 {
	return uint8(divideRounded(30*uint32(r)+59*uint32(g)+11*uint32(b), 100))
}

// divideRounded divides to the nearest integer, ties to the even one.
func divideRounded[T uint32 | uint64](n, d T) T {
	q, r := n/d, n%d
	if 2*r > d || (2*r == d && q&1 == 1) {
		q++
	}
	return q
}

// pack removes the padding that the JPEG decoder leaves right of and below the
// picture, in place.
func pack(p *image.Gray) *image.Gray {
	width, height := p.Rect.Dx(), p.Rect.Dy()
	if p.Stride != width {
		for y := 1; y < height; y++ {
			copy(p.Pix[y*width:(y+1)*width], p.Pix[y*p.Stride:])
		}
	}
	return &image.Gray{Pix: p.Pix[: width*height : width*height], Stride: width, Rect: image.Rect(0, 0, width, height)}
}

func fromPaletted(p *image.Paletted) (*image.Gray, []Flag) {
	var used [256]bool
	for _, index := range p.Pix {
		used[index] = true
	}
	var colours [256]color.NRGBA
	first, meaningless := -1, true
	for i, c := range p.Palette {
		colours[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		if !used[i] {
			continue
		}
		if first < 0 {
			first = i
		}
		meaningless = meaningless && colours[i].A == colours[first].A
	}
	var greys [256]uint8
	for i, c := range colours[:len(p.Palette)] {
		if meaningless {
			c.A = 0xff
		}
		greys[i] = grey8(c.R, c.G, c.B, c.A)
	}
	width, height := p.Rect.Dx(), p.Rect.Dy()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		row := out.Pix[y*width : (y+1)*width]
		for x, index := range p.Pix[y*p.Stride:][:width] {
			row[x] = greys[index]
		}
	}
	return out, flagIf(meaningless && colours[first].A != 0xff, FlagAlphaIgnored)
}

// fromPixels reads four bytes a pixel: red, green, blue, alpha.
func fromPixels(r image.Rectangle, pix []uint8, stride int, alpha bool) *image.Gray {
	width, height := r.Dx(), r.Dy()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		row := out.Pix[y*width : (y+1)*width]
		in := pix[y*stride:][:4*width]
		for x := range row {
			p := in[4*x : 4*x+4 : 4*x+4]
			if !alpha || p[3] == 0xff {
				row[x] = opaqueGrey8(p[0], p[1], p[2])
			} else {
				row[x] = grey8(p[0], p[1], p[2], p[3])
			}
		}
	}
	return out
}

func fromYCbCr(p *image.YCbCr) *image.Gray {
	width, height := p.Rect.Dx(), p.Rect.Dy()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		row := out.Pix[y*width : (y+1)*width]
		for x := range row {
			l, c := p.YOffset(p.Rect.Min.X+x, p.Rect.Min.Y+y), p.COffset(p.Rect.Min.X+x, p.Rect.Min.Y+y)
			row[x] = opaqueGrey8(color.YCbCrToRGB(p.Y[l], p.Cb[c], p.Cr[c]))
		}
	}
	return out
}

func fromCMYK(p *image.CMYK) *image.Gray {
	width, height := p.Rect.Dx(), p.Rect.Dy()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		row := out.Pix[y*width : (y+1)*width]
		in := p.Pix[y*p.Stride:][:4*width]
		for x := range row {
			row[x] = opaqueGrey8(color.CMYKToRGB(in[4*x], in[4*x+1], in[4*x+2], in[4*x+3]))
		}
	}
	return out
}
