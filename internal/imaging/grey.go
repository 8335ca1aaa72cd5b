package imaging

import (
	"fmt"
	"image"
	"image/color"
)

// toGrey returns picture as tightly packed 8-bit grey by the rules of Decode.
// The types are those that image/png and image/jpeg produce.
func toGrey(picture image.Image) (*image.Gray, error) {
	switch p := picture.(type) {
	case *image.Gray:
		return pack(p), nil
	case *image.Gray16:
		return scale16(p.Rect, func(x, y int) uint16 { return p.Gray16At(x, y).Y }), nil
	case *image.Paletted:
		return fromPaletted(p), nil
	case *image.RGBA: // opaque: RGB PNG and RGB JPEG
		return fromPixels(p.Rect, p.Pix, p.Stride, false), nil
	case *image.NRGBA:
		return fromPixels(p.Rect, p.Pix, p.Stride, true), nil
	case *image.RGBA64: // opaque: 16-bit RGB PNG
		return scale16(p.Rect, func(x, y int) uint16 {
			c := p.RGBA64At(x, y)
			return grey16(c.R, c.G, c.B, 0xffff)
		}), nil
	case *image.NRGBA64:
		return scale16(p.Rect, func(x, y int) uint16 {
			c := p.NRGBA64At(x, y)
			return grey16(c.R, c.G, c.B, c.A)
		}), nil
	case *image.YCbCr:
		return fromYCbCr(p), nil
	case *image.CMYK:
		return fromCMYK(p), nil
	}
	return nil, fmt.Errorf("%w: pixels of type %T", ErrUnsupported, picture)
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

func grey16(r, g, b, a uint16) uint16 {
	sum := (30*uint64(r) + 59*uint64(g) + 11*uint64(b)) * uint64(a)
	return uint16(divideRounded(sum, 100*0xffff))
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

// scale16 stretches 16-bit greys so that the largest becomes 255.
func scale16(r image.Rectangle, at func(x, y int) uint16) *image.Gray {
	width, height := r.Dx(), r.Dy()
	values := make([]uint16, width*height)
	var largest uint16
	i := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			v := at(x, y)
			values[i] = v
			largest = max(largest, v)
			i++
		}
	}
	out := image.NewGray(image.Rect(0, 0, width, height))
	if largest == 0 {
		return out
	}
	for i, v := range values {
		out.Pix[i] = uint8(divideRounded(uint32(v)*0xff, uint32(largest)))
	}
	return out
}

func fromPaletted(p *image.Paletted) *image.Gray {
	var greys [256]uint8
	for i, c := range p.Palette {
		s := color.NRGBAModel.Convert(c).(color.NRGBA)
		greys[i] = grey8(s.R, s.G, s.B, s.A)
	}
	width, height := p.Rect.Dx(), p.Rect.Dy()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		row := out.Pix[y*width : (y+1)*width]
		for x, index := range p.Pix[y*p.Stride:][:width] {
			row[x] = greys[index]
		}
	}
	return out
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
