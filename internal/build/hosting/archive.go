package hosting

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/model"
)

// maxEntryBytes is the largest file of a model.
const maxEntryBytes = 1 << 30

// graviton are the instances of arm64: their family has a g behind its generation.
var graviton = regexp.MustCompile(`^ml\.[a-z]+\d+g`)

// Repack writes the model of a package to a new file at path, as the archive that
// SageMaker unpacks, and returns its manifest. The same model gives the same
// bytes. Instances of x86-64 get their variant where there is one.
func Repack(p *modelpackage.Package, instanceType, path string) (*model.Manifest, error) {
	chosen := p.Artifacts[0]
	if !graviton.MatchString(instanceType) {
		chosen = p.Artifacts[len(p.Artifacts)-1]
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("make the archive: %w", err)
	}
	manifest, err := repack(file, chosen.Path)
	return manifest, errors.Join(err, file.Close())
}

// repack writes the model in the zip at path.
func repack(w io.Writer, path string) (*model.Manifest, error) {
	doing := "repack " + path
	archive, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	defer archive.Close()
	var manifest *model.Manifest
	packed := gzip.NewWriter(w)
	files := tar.NewWriter(packed)
	for _, entry := range archive.File {
		content, err := readEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", doing, entry.Name, err)
		}
		if entry.Name == model.ManifestName {
			if manifest, err = model.ParseManifest(content); err != nil {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
		}
		header := &tar.Header{Name: entry.Name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR}
		if err = files.WriteHeader(header); err == nil {
			_, err = files.Write(content)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	if manifest == nil {
		return nil, fmt.Errorf("%s: %w: there is no %s", doing, model.ErrManifest, model.ManifestName)
	}
	if err := files.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if err := packed.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return manifest, nil
}

func readEntry(entry *zip.File) ([]byte, error) {
	in, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := io.ReadAll(io.LimitReader(in, maxEntryBytes+1))
	if err == nil && len(content) > maxEntryBytes {
		err = fmt.Errorf("it has more than %d bytes", maxEntryBytes)
	}
	return content, err
}
