package scanjob

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/brainseg/brainseg/internal/device/request"
)

// Kept holds results in memory, for those who asked that nothing be written. It has
// one user at a time.
type Kept struct{ Files [][]byte }

// Write keeps a copy of a result, and describes it.
func (k *Kept) Write(data []byte) *request.File {
	k.Files = append(k.Files, bytes.Clone(data))
	sum := sha256.Sum256(data)
	return &request.File{SHA256: hex.EncodeToString(sum[:]), Bytes: len(data)}
}
