package store

import (
	"path"
	"strings"
)

// MaskKey returns the key at which the mask of the image at key is written when
// a request names only {"bucket", "prefix"}:
//
//	output/<key without its first segment and without extension>_MASK_PREDICTION.png
//
// so "input/p1/slice.png" gives "output/p1/slice_MASK_PREDICTION.png". A key
// without a slash keeps its name. The extension is what follows the last dot of
// the last segment: dots in folder names, and a leading dot, belong to the name.
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
