// Package modelfolder writes the folders of a model, with network, manifest and
// documents: converted from what a training job left, or rewritten from another
// folder so that it runs faster and gives the same masks.
//
// It fetches and unpacks nothing, and makes no component. Package cli calls it.
package modelfolder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/model"
)

// networkName is the network's file name in every folder that is written.
const networkName = "model.onnx"

// WriteManifest puts manifest and record into the folder dir, whole or not at all.
func WriteManifest(dir string, manifest *model.Manifest, record model.Record) error {
	document, err := model.Encode(manifest, record)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, model.ManifestName), document, 0o640); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// copyFile copies a file. to must not exist.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// maxDocumentBytes is the largest document that goes with a model.
const maxDocumentBytes = 1 << 20

// copyDocuments takes along what lies beside a model for people to read.
func copyDocuments(from, to string) error {
	for _, name := range modelpackage.Documents {
		info, err := os.Stat(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch {
		case err != nil:
		case !info.Mode().IsRegular() || info.Size() > maxDocumentBytes:
			err = fmt.Errorf("%s is not a file of at most %d bytes", name, maxDocumentBytes)
		default:
			err = copyFile(filepath.Join(from, name), filepath.Join(to, name))
		}
		if err != nil {
			return fmt.Errorf("take the documents along: %w", err)
		}
	}
	return nil
}
