package derived

import (
	"crypto/sha256"
	"math/big"
)

// DerivedUID makes a UID out of data: a UUID of version 8 (RFC 9562) below 2.25,
// as PS3.5 B.2 allows.
func DerivedUID(purpose string, data []byte) string {
	hash := sha256.Sum256(append([]byte("brainseg "+purpose+"\x00"), data...))
	uuid := hash[:16]
	uuid[6] = uuid[6]&0x0f | 0x80
	uuid[8] = uuid[8]&0x3f | 0x80
	return "2.25." + new(big.Int).SetBytes(uuid).String()
}
