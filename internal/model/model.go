// Package model says in plain Go what the folder of a model holds: the manifest
// with the classes and their colours, the record of the model's origin and of its
// verification in that manifest, and the names of the files.
//
// It runs no network and writes no file, and links neither ONNX Runtime nor the
// SDK of AWS. Package segmentation opens what it describes; the packages of
// internal/build fill in the record, and those of internal/device read classes
// and names.
package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/boundedfile"
)

// Errors by which a caller decides; segmentation's wrap them too.
var (
	// ErrManifest: manifest.json is missing, is not what this version
	// understands, or contradicts itself.
	ErrManifest = errors.New("the model's manifest is not valid")
	// ErrChecksum: the network's file is not the one that the manifest names.
	ErrChecksum = errors.New("the model file does not have the checksum that its manifest gives")
	// ErrNetwork: the network is missing or unreadable, or does not do what the
	// manifest says.
	ErrNetwork = errors.New("the model does not fit its manifest")
)

// ManifestName is the manifest's file name in a model's folder.
const ManifestName = "manifest.json"

// Files of a model's folder by which a device can test it: a slice, and the mask
// that the model gives for it. A model may come without; it has both or none.
const (
	SelfTestSliceName = "selftest.png"
	SelfTestMaskName  = "selftest.mask.png"
)

// maxManifestBytes is the longest manifest that is read or made.
const maxManifestBytes = 1 << 20

// ReadManifest returns the manifest of the model in the folder dir. An error wraps
// ErrManifest.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	document, err := boundedfile.Read(path, maxManifestBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	manifest, err := ParseManifest(document)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest, nil
}

// FileSHA256 returns the digest of a file in lower-case hexadecimal.
func FileSHA256(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
