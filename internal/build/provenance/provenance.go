// Package provenance reads and writes what model-build knows of a model's
// origin. It is kept in the model's manifest, under provenance.modelBuild,
// beside what the trainer wrote there.
//
// It collects nothing itself. Packages modelpackage and cli call it.
package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/trainingjob"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// key of the record in the manifest's provenance.
const key = "modelBuild"

// maxManifestBytes is the longest manifest that the component reads.
const maxManifestBytes = 1 << 20

// Record is a model's origin. It has no time and nothing of the machine that
// made it, but for Verification.Measured: the same input gives the same record.
type Record struct {
	// Tool is name and version of the program.
	Tool string `json:"tool,omitempty"`
	// TrainingJob is nil where the artifact was not found by a job's name.
	TrainingJob *trainingjob.Job `json:"trainingJob,omitempty"`
	Artifact    *Artifact        `json:"artifact,omitempty"`
	// Steps in order.
	Steps []Step `json:"steps,omitempty"`
	// Metrics are the figures of the trainer's metrics.json; see ReadMetrics.
	Metrics      map[string]any     `json:"metrics,omitempty"`
	Verification *modelcheck.Report `json:"verification,omitempty"`
}

// Artifact is the file that everything was made from.
type Artifact struct {
	// Source is the s3:// URI, or the file's name without its folder.
	Source    string `json:"source"`
	VersionID string `json:"versionId,omitempty"`
	SHA256    string `json:"sha256"`
	Bytes     int64  `json:"bytes"`
	// CheckedBy names the checksum of S3 that was compared.
	CheckedBy string `json:"checkedBy,omitempty"`
}

// Step is something that was done to the model.
type Step struct {
	// Name is convert or optimise.
	Name string `json:"name"`
	// SHA256 of the network after it.
	SHA256 string `json:"sha256"`
	// Notes say what was done, for people.
	Notes []string `json:"notes,omitempty"`
}

// Read returns the manifest of the model in the folder dir and the record in it,
// which is empty where there is none.
func Read(dir string) (*segmentation.Manifest, Record, error) {
	path := filepath.Join(dir, segmentation.ManifestName)
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxManifestBytes) {
		err = fmt.Errorf("%s is not a file of at most %d bytes", path, maxManifestBytes)
	}
	if err != nil {
		return nil, Record{}, fmt.Errorf("%w: %w", segmentation.ErrManifest, err)
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, Record{}, err
	}
	manifest, err := segmentation.ParseManifest(document)
	if err != nil {
		return nil, Record{}, fmt.Errorf("read %s: %w", path, err)
	}
	record, err := Of(manifest)
	return manifest, record, err
}

// Of returns the record in a manifest, empty where there is none.
func Of(manifest *segmentation.Manifest) (Record, error) {
	var r Record
	all, err := entries(manifest)
	if err != nil {
		return r, err
	}
	if raw, ok := all[key]; ok {
		if err := json.Unmarshal(raw, &r); err != nil {
			return r, fmt.Errorf("%w: provenance.%s: %w", segmentation.ErrManifest, key, err)
		}
	}
	return r, nil
}

func entries(manifest *segmentation.Manifest) (map[string]json.RawMessage, error) {
	all := make(map[string]json.RawMessage)
	if len(manifest.Provenance) == 0 {
		return all, nil
	}
	if err := json.Unmarshal(manifest.Provenance, &all); err != nil {
		return nil, fmt.Errorf("%w: provenance is not an object: %w", segmentation.ErrManifest, err)
	}
	if all == nil { // it was null
		all = make(map[string]json.RawMessage)
	}
	return all, nil
}

// Encode returns the manifest with record in it, as the bytes of manifest.json.
// What the trainer wrote into the provenance stays.
func Encode(manifest *segmentation.Manifest, record Record) ([]byte, error) {
	all, err := entries(manifest)
	if err != nil {
		return nil, err
	}
	if all[key], err = json.Marshal(record); err != nil {
		return nil, fmt.Errorf("encode the provenance: %w", err)
	}
	with := *manifest
	if with.Provenance, err = json.Marshal(all); err != nil {
		return nil, fmt.Errorf("encode the provenance: %w", err)
	}
	document, err := json.MarshalIndent(explicit{&with, explicitNormalisation(with.Normalisation)}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	document = append(document, '\n')
	if len(document) > maxManifestBytes {
		return nil, fmt.Errorf("%w: it would have %d bytes, and the component reads %d", segmentation.ErrManifest, len(document), maxManifestBytes)
	}
	if _, err := segmentation.ParseManifest(document); err != nil {
		return nil, err
	}
	return document, nil
}

// explicit is a manifest with a normalisation that also says what is zero: the
// schema asks for low, and the manifest's own form leaves zeros out.
type explicit struct {
	*segmentation.Manifest
	Normalisation any `json:"normalisation"`
}

func explicitNormalisation(n segmentation.Normalisation) any {
	if n.Input == "" {
		return n
	}
	return map[string]any{"kind": n.Kind, "input": n.Input, "low": n.Low, "high": n.High, "ignoreBelowOrEqual": n.IgnoreBelowOrEqual}
}

// Write puts manifest and record into the folder dir, whole or not at all.
func Write(dir string, manifest *segmentation.Manifest, record Record) error {
	document, err := Encode(manifest, record)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, segmentation.ManifestName), document, 0o640); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
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

// Bounds of a trainer's metrics.json, and of what of it goes into a manifest.
const (
	maxMetricsBytes = 1 << 20
	maxFigures      = 2000
	maxList         = 32
)

// ReadMetrics returns the figures in the trainer's metrics.json: its objects with
// the numbers and short lists of numbers in them; nil where there is no such
// file. Texts and other lists are left out: they may name subjects.
func ReadMetrics(path string) (map[string]any, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxMetricsBytes {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read", path, info.Size(), maxMetricsBytes)
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	n := 0
	metrics, _ := figures(value, &n).(map[string]any)
	if n > maxFigures {
		return nil, fmt.Errorf("%s has %d figures, and at most %d go into a manifest", path, n, maxFigures)
	}
	return metrics, nil
}

// figures returns what is to be kept of value, nil for nothing, and counts it.
func figures(value any, n *int) any {
	switch v := value.(type) {
	case float64:
		*n++
		return v
	case []any:
		if len(v) == 0 || len(v) > maxList || slices.ContainsFunc(v, func(e any) bool { _, ok := e.(float64); return !ok }) {
			return nil
		}
		*n += len(v)
		return v
	case map[string]any:
		kept := make(map[string]any)
		for name, inner := range v {
			if k := figures(inner, n); k != nil {
				kept[name] = k
			}
		}
		if len(kept) > 0 {
			return kept
		}
	}
	return nil
}
