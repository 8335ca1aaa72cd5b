package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt maps its file into memory and trusts it: a damaged page number makes it
// read an address that does not exist, partly on goroutines of its own, where no
// recover helps. So a file is read with ordinary reads and checked whole before
// bbolt gets to see it.

// ErrDamaged: the file is not what it should be.
var ErrDamaged = errors.New("the file is damaged")

// Damaged returns an error that wraps ErrDamaged.
func Damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

const (
	// PageSize is that of every file, whatever the system's is: bbolt writes no
	// less than a page.
	PageSize = 4096
	// maxPages bounds a node. Ours have at most four values of pieceBytes that
	// bbolt did not split.
	maxPages = 16
	maxDepth = 24

	flagBranch  = 0x01
	flagLeaf    = 0x02
	flagMeta    = 0x04
	flagBucket  = 0x01 // of an element of a leaf
	noFreelist  = 1<<64 - 1
	magic       = 0xED0CDAED
	boltVersion = 2

	headerSize  = 16
	elementSize = 16
)

// Visit is called with every value, in order of buckets and keys. They are valid
// during the call.
type Visit func(bucket, key, value []byte) error

// Info is what Check learns of a file as a whole.
type Info struct {
	Sequences map[string]uint64 // of each bucket
}

type checker struct {
	file  io.ReaderAt
	pages uint64 // below the high-water mark
	seen  []bool // by page
	visit Visit
	info  Info
	buf   [maxDepth + 1][]byte // one page for each level
}

// Check reads a database of the given size, and tells whether bbolt can work with
// it. Damage is ErrDamaged; other errors come from reading or visit.
func Check(file io.ReaderAt, size int64, visit Visit) (Info, error) {
	c := checker{file: file, visit: visit, info: Info{Sequences: map[string]uint64{}}}
	if size < 4*PageSize {
		return c.info, Damaged("it has only %d bytes", size)
	}
	root, err := c.meta()
	if err != nil {
		return c.info, err
	}
	if c.pages < 3 || c.pages > uint64(size)/PageSize {
		return c.info, Damaged("it has %d bytes and should have %d pages", size, c.pages)
	}
	c.seen = make([]bool, c.pages)
	c.seen[0], c.seen[1] = true, true
	last := []byte(nil)
	return c.info, c.node(root, 0, bounds{}, &last, c.bucket)
}

// meta picks the valid meta page with the higher transaction, as bbolt does.
func (c *checker) meta() (root uint64, err error) {
	newest, found := uint64(0), false
	for i := range int64(2) {
		var page [headerSize + 64]byte
		if _, err := c.file.ReadAt(page[:], i*PageSize); err != nil {
			return 0, fmt.Errorf("read a meta page: %w", err)
		}
		m := page[headerSize:]
		sum := fnv.New64a()
		sum.Write(m[:56])
		transaction := le64(m[48:])
		if le32(m) != magic || le32(m[4:]) != boltVersion || le64(m[56:]) != sum.Sum64() || found && transaction < newest {
			continue
		}
		if le32(m[8:]) != PageSize || le64(m[32:]) != noFreelist {
			return 0, Damaged("it was not made by this program")
		}
		root, c.pages = le64(m[16:]), le64(m[40:])
		newest, found = transaction, true
	}
	if !found {
		return 0, Damaged("no meta page is valid")
	}
	return root, nil
}

// bounds are those of the keys below a branch: from <= key < to, nil for none.
type bounds struct{ from, to []byte }

// node checks the tree below a page and calls leaf with each of its elements.
func (c *checker) node(id uint64, depth int, b bounds, last *[]byte, leaf func(depth int, flags uint32, key, value []byte) error) error {
	if depth >= maxDepth {
		return Damaged("the tree is too deep")
	}
	page, err := c.read(id, depth)
	if err != nil {
		return err
	}
	return c.elements(page, depth, b, last, leaf, true)
}

// read reads a page with those that it runs over into.
func (c *checker) read(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= c.pages {
		return nil, Damaged("page %d does not exist", id)
	}
	if c.buf[depth] == nil {
		c.buf[depth] = make([]byte, PageSize)
	}
	page := c.buf[depth][:PageSize]
	if _, err := c.file.ReadAt(page, int64(id)*PageSize); err != nil {
		return nil, fmt.Errorf("read a page: %w", err)
	}
	if le64(page) != id {
		return nil, Damaged("page %d says that it is another", id)
	}
	n := uint64(le32(page[12:])) + 1
	if n > maxPages || id+n > c.pages {
		return nil, Damaged("page %d is too long", id)
	}
	for i := id; i < id+n; i++ {
		if c.seen[i] {
			return nil, Damaged("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	if n > 1 {
		page = append(page, make([]byte, (n-1)*PageSize)...)
		c.buf[depth] = page
		if _, err := c.file.ReadAt(page[PageSize:], int64(id+1)*PageSize); err != nil {
			return nil, fmt.Errorf("read a page: %w", err)
		}
	}
	return page, nil
}

// elements checks the elements of a page, which may be one inside a value.
func (c *checker) elements(page []byte, depth int, b bounds, last *[]byte, leaf func(int, uint32, []byte, []byte) error, below bool) error {
	if len(page) < headerSize {
		return Damaged("a page is too short")
	}
	flags, count := binary.LittleEndian.Uint16(page[8:]), int(binary.LittleEndian.Uint16(page[10:]))
	branch := flags == flagBranch && below
	if !branch && flags != flagLeaf {
		return Damaged("a page is of no known kind")
	}
	if headerSize+count*elementSize > len(page) || branch && count == 0 {
		return Damaged("a page has %d elements", count)
	}
	key := func(i int) ([]byte, []byte, error) {
		e := page[headerSize+i*elementSize:]
		var pos, ksize, vsize uint64
		if branch {
			pos, ksize = uint64(le32(e)), uint64(le32(e[4:]))
		} else {
			pos, ksize, vsize = uint64(le32(e[4:])), uint64(le32(e[8:])), uint64(le32(e[12:]))
		}
		if pos < elementSize || ksize == 0 || pos+ksize+vsize > uint64(len(e)) {
			return nil, nil, Damaged("an element is outside its page")
		}
		return e[pos : pos+ksize], e[pos+ksize : pos+ksize+vsize], nil
	}
	for i := range count {
		k, v, err := key(i)
		if err != nil {
			return err
		}
		if b.from != nil && bytes.Compare(k, b.from) < 0 || b.to != nil && bytes.Compare(k, b.to) >= 0 {
			return Damaged("a key is in the wrong page")
		}
		e := page[headerSize+i*elementSize:]
		if !branch {
			if *last != nil && bytes.Compare(*last, k) >= 0 {
				return Damaged("keys are not in order")
			}
			*last = append((*last)[:0], k...)
			if err := leaf(depth, le32(e), k, v); err != nil {
				return err
			}
			continue
		}
		child := bounds{from: k, to: b.to}
		if i+1 < count {
			if child.to, _, err = key(i + 1); err != nil {
				return err
			}
			if bytes.Compare(k, child.to) >= 0 {
				return Damaged("keys are not in order")
			}
		}
		if err := c.node(le64(e[8:]), depth+1, child, last, leaf); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks an element of the root: a bucket.
func (c *checker) bucket(depth int, flags uint32, name, value []byte) error {
	if flags != flagBucket || len(value) < 16 {
		return Damaged("the root holds something that is no bucket")
	}
	root := le64(value)
	c.info.Sequences[string(name)] = le64(value[8:])
	last := []byte(nil)
	leaf := func(_ int, flags uint32, key, sealed []byte) error {
		if flags != 0 {
			return Damaged("a value is of no known kind")
		}
		value, err := Unseal(key, sealed)
		if err != nil {
			return Damaged("a value does not have its checksum")
		}
		return c.visit(name, key, value)
	}
	if root == 0 { // a small bucket stands in the value itself
		return c.elements(value[16:], depth, bounds{}, &last, leaf, false)
	}
	return c.node(root, depth+1, bounds{}, &last, leaf)
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
