package request

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
)

// The ends of the names of masks and overlays. No mask's name ends as an
// overlay's does, so that no two of them ever share one.
const (
	maskSuffix    = ".png"
	overlaySuffix = ".overlay.png"
)

// maxFileName is the longest name of a file that every file system takes, in
// bytes.
const maxFileName = 255

// Destinations returns where mask and overlay of r go, as paths below the output
// folder or s3://bucket/key: to Output.To, to where the 2018 system put the mask
// (see MaskKey), or to a file named after the id. Different ids, and different
// Output.To, give names of which no two are the same.
func (r Request) Destinations() (mask, overlay string) {
	switch {
	case r.Classic2018:
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.Image.S3, "s3://"), "/")
		mask = "s3://" + bucket + "/" + MaskKey(key)
	case r.Output.To != "":
		mask = r.Output.To
	default:
		mask = fileName(r.ID) + maskSuffix
	}
	return mask, strings.TrimSuffix(mask, maskSuffix) + overlaySuffix
}

// fileName makes a file name of an id: letters, digits and "-_." as they are,
// other bytes as %XX, and so a dot that would hide the file or make the mask's
// name end as an overlay's. What is too long then becomes %sha256- and a digest;
// no other name has an s behind its per cent sign.
func fileName(id string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	reserved := len(id) - len(overlaySuffix) + len(maskSuffix) // where ".overlay" would begin
	if !strings.HasSuffix(id+maskSuffix, overlaySuffix) {
		reserved = -1
	}
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; strings.IndexByte(plain, c) >= 0 && i != reserved && (c != '.' || i > 0) {
			b.WriteByte(c)
		} else {
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	if b.Len() > maxFileName-len(overlaySuffix) {
		sum := sha256.Sum256([]byte(id))
		return "%sha256-" + hex.EncodeToString(sum[:])
	}
	return b.String()
}

// MaskKey returns the key at which the mask of the image at key is written when
// a request names only {"bucket", "prefix"}:
//
//	output/<key without its first segment and without extension>_MASK_PREDICTION.png
//
// so "input/p1/slice.png" gives "output/p1/slice_MASK_PREDICTION.png". A key
// without a slash keeps its name. The extension is what follows the last dot of
// the last segment: dots in folder names, and a leading dot, belong to the name.
// It is the one rule by which two images can share a mask's name: that of 2018.
func MaskKey(key string) string {
	_, rest, found := strings.Cut(key, "/")
	if !found {
		rest = key
	}
	folder, name := path.Split(rest)
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		name = name[:dot]
	}
	return "output/" + folder + name + "_MASK_PREDICTION.png"
}
