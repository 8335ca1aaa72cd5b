package model

import (
	"encoding/json"
	"fmt"
	"time"
)

// recordKey is the record's in the manifest's provenance.
const recordKey = "modelBuild"

// Record is what model-build knows of a model's origin. It is kept in the
// manifest's provenance, beside what the trainer wrote there. It has no time and
// nothing of the machine that made it, but for Verification.Measured: the same
// input gives the same record.
type Record struct {
	// Tool is name and version of the program.
	Tool string `json:"tool,omitempty"`
	// TrainingJob is nil where the artifact was not found by a job's name.
	TrainingJob *TrainingJob `json:"trainingJob,omitempty"`
	Artifact    *Artifact    `json:"artifact,omitempty"`
	// Steps in order.
	Steps []Step `json:"steps,omitempty"`
	// Metrics are the figures of the trainer's metrics.json; see ReadMetrics.
	Metrics      map[string]any `json:"metrics,omitempty"`
	Verification *Verification  `json:"verification,omitempty"`
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
func Read(dir string) (*Manifest, Record, error) {
	manifest, err := ReadManifest(dir)
	if err != nil {
		return nil, Record{}, err
	}
	record, err := manifest.Record()
	return manifest, record, err
}

// Record returns the record in the manifest, empty where there is none.
func (m *Manifest) Record() (Record, error) {
	var r Record
	all, err := m.provenance()
	if err != nil {
		return r, err
	}
	if raw, ok := all[recordKey]; ok {
		if err := json.Unmarshal(raw, &r); err != nil {
			return r, fmt.Errorf("%w: provenance.%s: %w", ErrManifest, recordKey, err)
		}
	}
	return r, nil
}

// provenance returns the record and the trainer's entries.
func (m *Manifest) provenance() (map[string]json.RawMessage, error) {
	all := make(map[string]json.RawMessage)
	if len(m.Provenance) == 0 {
		return all, nil
	}
	if err := json.Unmarshal(m.Provenance, &all); err != nil {
		return nil, fmt.Errorf("%w: provenance is not an object: %w", ErrManifest, err)
	}
	if all == nil { // it was null
		all = make(map[string]json.RawMessage)
	}
	return all, nil
}

// Encode returns the manifest with record in it, as the bytes of manifest.json.
// What the trainer wrote into the provenance stays.
func Encode(manifest *Manifest, record Record) ([]byte, error) {
	all, err := manifest.provenance()
	if err != nil {
		return nil, err
	}
	if all[recordKey], err = json.Marshal(record); err != nil {
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
		return nil, fmt.Errorf("%w: it would have %d bytes, and the component reads %d", ErrManifest, len(document), maxManifestBytes)
	}
	if _, err := ParseManifest(document); err != nil {
		return nil, err
	}
	return document, nil
}

// explicit is a manifest with a normalisation that also says what is zero: the
// schema asks for low, and the manifest's own form leaves zeros out.
type explicit struct {
	*Manifest
	Normalisation any `json:"normalisation"`
}

func explicitNormalisation(n Normalisation) any {
	if n.Input == "" {
		return n
	}
	return map[string]any{"kind": n.Kind, "input": n.Input, "low": n.Low, "high": n.High, "ignoreBelowOrEqual": n.IgnoreBelowOrEqual}
}

// TrainingJob is a training job that has completed. Package trainingjob
// fills it in.
type TrainingJob struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	// Artifact is the s3:// URI of model.tar.gz.
	Artifact string `json:"artifact"`
	// Image is the URI of the training image, or the algorithm's name.
	Image string `json:"image,omitempty"`
	// Hyperparameters, but "redacted" for those whose name says that they are
	// secret: provenance goes with the model to every device.
	Hyperparameters map[string]string `json:"hyperparameters,omitempty"`
	// Channels are the s3:// URIs of the input by the channel's name.
	Channels map[string]string `json:"channels,omitempty"`
	// Instances is their number and type: "1 x ml.c5.xlarge".
	Instances string `json:"instances,omitempty"`
	// Started and Ended bound the training itself, in UTC.
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Metrics are the last values of those that the job reports.
	Metrics map[string]float64 `json:"metrics,omitempty"`
}
