package archive

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
)

// gzipReader reads the members of a gzip file one after the other, up to zeros
// that fill the file to its end, as tapes and some object stores have it.
type gzipReader struct {
	source *bufio.Reader
	member *gzip.Reader
}

func newGzipReader(r io.Reader) (*gzipReader, error) {
	g := &gzipReader{source: bufio.NewReaderSize(r, 64<<10)}
	member, err := gzip.NewReader(g.source)
	if err != nil {
		return nil, err
	}
	g.member = member
	member.Multistream(false)
	return g, nil
}

// Read implements io.Reader.
func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.member.Read(p)
		if n > 0 && errors.Is(err, io.EOF) {
			return n, nil
		}
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := g.next(); err != nil {
			return 0, err
		}
	}
}

// next goes to the next member, or fails with io.EOF.
func (g *gzipReader) next() error {
	padded := false
	for {
		b, err := g.source.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			break
		}
		padded = true
	}
	if padded {
		return errors.New("something follows the zeros at its end")
	}
	if err := g.source.UnreadByte(); err != nil {
		return err
	}
	if err := g.member.Reset(g.source); err != nil {
		return err
	}
	g.member.Multistream(false)
	return nil
}
