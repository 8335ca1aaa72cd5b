package hosting

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/model"
)

// maxEntryBytes is the largest file of a model.
const maxEntryBytes = 1 << 30

// Repack writes the model in the zip at path, which package modelpackage made, as
// the archive that SageMaker unpacks, and returns its manifest. The same model
// gives the same bytes.
func Repack(w io.Writer, path string) (*model.Manifest, error) {
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
