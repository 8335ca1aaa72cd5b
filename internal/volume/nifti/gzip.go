package nifti

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
)

// gunzip reads all members of a gzip file. Unlike gzip.Reader it tells what
// follows the last one instead of failing on it.
type gunzip struct {
	in     *bufio.Reader
	member *gzip.Reader
	ended  bool
	// trailing tells that bytes other than zeros follow the last member.
	trailing bool
}

func newGunzip(in *bufio.Reader) (*gunzip, error) {
	member, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &gunzip{in: in, member: member}, nil
}

// Read implements io.Reader.
func (g *gunzip) Read(b []byte) (int, error) {
	for !g.ended {
		n, err := g.member.Read(b)
		if errors.Is(err, io.EOF) {
			err = g.next()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// next goes to the member that follows, or ends the reading.
func (g *gunzip) next() error {
	head, _ := g.in.Peek(3)
	if len(head) == 3 && head[0] == 0x1f && head[1] == 0x8b && head[2] == 8 {
		if err := g.member.Reset(g.in); err != nil {
			g.ended, g.trailing = true, true
			return nil
		}
		g.member.Multistream(false)
		return nil
	}
	g.ended = true
	// Tape blocks are filled with zeros; that is no news.
	for i := 0; i < maxTail; i++ {
		c, err := g.in.ReadByte()
		if err != nil {
			break
		}
		if c != 0 {
			g.trailing = true
			break
		}
	}
	return nil
}

// Peek returns the first bytes, at most n, of what a gzip file holds.
func Peek(in io.Reader, n int) ([]byte, error) {
	unzipped, err := newGunzip(bufio.NewReader(in))
	if err != nil {
		return nil, damaged(err, "the gzip file's own header")
	}
	head := make([]byte, n)
	got, err := io.ReadFull(unzipped, head)
	if err != nil && (got == 0 || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)) {
		return nil, damaged(err, "the header")
	}
	return head[:got], nil
}
