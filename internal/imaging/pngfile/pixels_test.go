package pngfile

import (
	"bytes"
	"compress/zlib"
	"image"
	"testing"
)

func TestTheFiltersOfGreyRowsAreUndoneAsPackagePNGUndoesThem(t *testing.T) {
	const width, height = 50, 30
	for filter := range byte(5) {
		var data bytes.Buffer
		deflate := zlib.NewWriter(&data)
		for y := range height {
			row := []byte{filter}
			for x := range width {
				row = append(row, byte(x*x*7+y*131+x*y))
			}
			if _, err := deflate.Write(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := deflate.Close(); err != nil {
			t.Fatal(err)
		}
		content := appendChunk([]byte(Signature), "IHDR", []byte{0, 0, 0, width, 0, 0, 0, height, 8, grey, 0, 0, 0})
		file, err := Open(appendChunk(content, "IDAT", data.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Survey(); err != nil {
			t.Fatal(err)
		}
		got, err := file.decodeGrey()
		if err != nil {
			t.Fatal(err)
		}
		want, err := file.decodeOther()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want.(*image.Gray).Pix, got.Pix) {
			t.Errorf("the pixels of filter %d differ", filter)
		}
	}
}
