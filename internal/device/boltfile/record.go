package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// A record is a head under (number, 0), which also holds a content of at most
// InlineBytes, and of larger ones pieces under (number, 1) and so on.
const (
	// InlineBytes of content stand beside the head: one page instead of two for
	// what most requests and answers are.
	InlineBytes = 1024
	// PieceBytes is chosen so that two pieces fill a page of 4096 bytes. bbolt
	// rewrites whole leaves of at least two keys, so larger values would be
	// written again with every neighbour.
	PieceBytes = 2000
)

// ErrRecord says that a record is not whole.
var ErrRecord = errors.New("a record is damaged")

// RecordKey is the key of a part of a record; part 0 is its head.
func RecordKey(number uint64, part uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, 12), number), part)
}

func total(contents [][]byte) (n int) {
	for _, c := range contents {
		n += len(c)
	}
	return n
}

// PutRecord stores a head with its contents.
func PutRecord(b *bolt.Bucket, number uint64, head []byte, contents ...[]byte) error {
	b.FillPercent = 1 // numbers grow, so pages are filled for good
	key := RecordKey(number, 0)
	if total(contents) <= InlineBytes {
		for _, c := range contents {
			head = append(head, c...)
		}
		return b.Put(key, Seal(key, head))
	}
	if err := b.Put(key, Seal(key, head)); err != nil {
		return err
	}
	part := uint32(0)
	for _, c := range contents {
		for ; len(c) > 0; c = c[min(PieceBytes, len(c)):] {
			part++
			piece := append(make([]byte, 0, PieceBytes+4), c[:min(PieceBytes, len(c))]...)
			key := RecordKey(number, part)
			if err := b.Put(key, Seal(key, piece)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Head returns the payload of a head, nil where there is no such record. It is
// valid until the transaction ends.
func Head(b *bolt.Bucket, number uint64) ([]byte, error) {
	key := RecordKey(number, 0)
	sealed := b.Get(key)
	if sealed == nil {
		return nil, nil
	}
	return Unseal(key, sealed)
}

// Contents returns copies of the contents of a record, whose head left rest.
func Contents(b *bolt.Bucket, number uint64, rest []byte, lengths ...uint32) ([][]byte, error) {
	sum := uint64(0)
	for _, n := range lengths {
		sum += uint64(n)
	}
	contents := make([][]byte, 0, len(lengths))
	if sum <= InlineBytes {
		if uint64(len(rest)) != sum {
			return nil, ErrRecord
		}
		for _, n := range lengths {
			contents = append(contents, append([]byte(nil), rest[:n]...))
			rest = rest[n:]
		}
		return contents, nil
	}
	part := uint32(0)
	for _, n := range lengths {
		var c []byte
		for pieces := parts(n); pieces > 0; pieces-- {
			part++
			key := RecordKey(number, part)
			piece, err := Unseal(key, b.Get(key))
			if err != nil {
				return nil, err
			}
			if c == nil {
				c = make([]byte, 0, n)
			}
			c = append(c, piece...)
		}
		if uint64(len(c)) != uint64(n) {
			return nil, ErrRecord
		}
		contents = append(contents, c)
	}
	return contents, nil
}

func parts(n uint32) uint32 { return uint32((uint64(n) + PieceBytes - 1) / PieceBytes) }

// DeleteRecord removes a record with contents of the given lengths.
func DeleteRecord(b *bolt.Bucket, number uint64, lengths ...uint32) error {
	last, sum := uint32(0), uint64(0)
	for _, n := range lengths {
		last += parts(n)
		sum += uint64(n)
	}
	if sum <= InlineBytes {
		last = 0
	}
	for part := uint32(0); part <= last; part++ {
		if err := b.Delete(RecordKey(number, part)); err != nil {
			return fmt.Errorf("delete a record: %w", err)
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSeal is damaged, but Check says it in its own words.
var errSeal = errors.New("a value does not have its checksum")

// Seal appends the checksum of key and value to the value.
func Seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
	return binary.LittleEndian.AppendUint32(value, sum)
}

// Unseal checks and removes the checksum that Seal appended.
func Unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - 4
	if n < 0 {
		return nil, errSeal
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[:n])
	if sum != binary.LittleEndian.Uint32(sealed[n:]) {
		return nil, errSeal
	}
	return sealed[:n:n], nil
}
