package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
)

// recordName is the record of a publication.
const recordName = "published.json"

// begun is what is kept of a publication that is not finished.
type begun struct {
	Package string `json:"package"` // its digest
	Bucket  string `json:"bucket"`
	Version string `json:"version"`
}

// Once publishes and keeps the record in the folder out. A publication that was
// interrupted is remembered in the file memory, and finished.
func Once(ctx context.Context, clients Clients, p *modelpackage.Package, o Options, memory, out string) (*Result, error) {
	var last begun
	if document, err := os.ReadFile(memory); err == nil && json.Unmarshal(document, &last) == nil && last.Package == p.Digest() && last.Bucket == o.Bucket {
		o.Begun = last.Version
	}
	o.Begin = func(version string) error {
		document, err := json.Marshal(begun{p.Digest(), o.Bucket, version})
		if err != nil {
			return err
		}
		return renameio.WriteFile(memory, document, 0o640)
	}
	result, err := Publish(ctx, clients, p, o)
	if errors.Is(err, ErrFailed) {
		return nil, errors.Join(err, os.RemoveAll(memory)) // it never will
	}
	if err != nil {
		return nil, err
	}
	document, err := json.MarshalIndent(result, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(out, recordName), document, 0o640)
	}
	if err != nil {
		return nil, fmt.Errorf("note what was published: %w", err)
	}
	return result, nil
}

// ReadRecord returns what Once left in the folder dir.
func ReadRecord(dir string) (*Result, error) {
	result := new(Result)
	document, err := os.ReadFile(filepath.Join(dir, recordName))
	if err == nil {
		err = json.Unmarshal(document, result)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was published: %w", err)
	}
	return result, nil
}
