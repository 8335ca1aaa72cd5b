package boltfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

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
