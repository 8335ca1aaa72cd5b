// Package artifactfolder makes and reads the folders that pull leaves: the artifact
// of a training job, unpacked, and out of its reach a note of where it comes from.
//
// It transfers and unpacks by means of packages artifactcache and archive, and
// converts nothing. Package cli calls it.
package artifactfolder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/artifactcache"
	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelfolder"
	"github.com/brainseg/brainseg/internal/build/trainingjob"
	"github.com/brainseg/brainseg/internal/build/workfolder"
	"github.com/brainseg/brainseg/internal/model"
)

// What is in the folder: the unpacked artifact, and the note of its origin.
const (
	Artifact = "artifact"
	noteName = "pulled.json"
)

// ErrPart says that a path is one file of a model that has several.
var ErrPart = errors.New("it is a part of a model")

// Source is where an artifact comes from.
type Source struct {
	// TrainingJob, S3 (s3://bucket/key) or File (.tar.gz, .zip): one of them.
	TrainingJob, S3, File string
	// VersionID of the object on S3; default the newest.
	VersionID string
	// SHA256 that the artifact must have, in lower-case hexadecimal; default any.
	SHA256 string
}

// Origin is what is known of where an artifact comes from.
type Origin struct {
	TrainingJob *model.TrainingJob `json:"trainingJob,omitempty"`
	Artifact    *model.Artifact    `json:"artifact"`
}

// Options are the settings of Fetch. All must be given.
type Options struct {
	Cache    string // folder of the cache
	Access   awsaccess.Options
	Say      func(format string, a ...any)
	Progress func(done, size int64) // of a transfer
}

// Fetch brings an artifact into the cache.
func Fetch(ctx context.Context, src Source, o Options) (artifactcache.Artifact, *Origin, error) {
	var none artifactcache.Artifact
	cache, err := artifactcache.Open(o.Cache)
	if err != nil {
		return none, nil, err
	}
	origin := new(Origin)
	uri := src.S3
	var configuration aws.Config
	if src.File == "" {
		if configuration, err = awsaccess.Load(ctx, o.Access); err != nil {
			return none, nil, err
		}
	}
	if src.TrainingJob != "" {
		job, err := trainingjob.Describe(ctx, sagemaker.NewFromConfig(configuration), src.TrainingJob)
		if err != nil {
			return none, nil, err
		}
		origin.TrainingJob, uri = job, job.Artifact
		o.Say("training job %s left %s", job.Name, uri)
	}
	var a artifactcache.Artifact
	if src.File != "" {
		a, err = cache.FromFile(ctx, src.File)
		if err == nil && src.SHA256 != "" && a.SHA256 != src.SHA256 {
			err = fmt.Errorf("%w: %s has sha256 %s, and %s was asked for", artifactcache.ErrChecksum, src.File, a.SHA256, src.SHA256)
		}
		a.Source = filepath.Base(src.File) // the folder is nobody's business
	} else {
		a, err = cache.FromS3(ctx, awsaccess.S3(configuration), uri, artifactcache.Options{VersionID: src.VersionID, SHA256: src.SHA256, Progress: o.Progress})
	}
	if err != nil {
		return none, nil, err
	}
	switch {
	case src.File != "":
		o.Say("artifact %s: %d bytes, sha256 %s", a.Source, a.Size, a.SHA256)
	case a.Cached:
		o.Say("artifact found in the cache: %d bytes, sha256 %s, checked by %s", a.Size, a.SHA256, a.CheckedBy)
	default:
		o.Say("artifact fetched: %d bytes, sha256 %s, checked by %s", a.Size, a.SHA256, a.CheckedBy)
	}
	if a.CheckedBy == artifactcache.BySize && src.SHA256 == "" {
		o.Say("S3 keeps no checksum of this object; --sha256 would hold it to a digest")
	}
	origin.Artifact = &model.Artifact{Source: a.Source, VersionID: a.VersionID, SHA256: a.SHA256, Bytes: a.Size, CheckedBy: a.CheckedBy}
	return a, origin, nil
}

// Fill fills the folder dir with an artifact that was fetched.
func Fill(ctx context.Context, dir string, a artifactcache.Artifact, origin *Origin, limits archive.Limits, say func(format string, a ...any)) error {
	contents, err := unpack(ctx, a.Source, a.Path, filepath.Join(dir, Artifact), limits)
	if err != nil {
		return err
	}
	say("  unpacked %d files", len(contents.Files))
	modelfolder.SayLitter(say, contents.Litter)
	document, err := json.MarshalIndent(origin, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, noteName), document, 0o640)
	}
	if err != nil {
		return fmt.Errorf("note where the artifact comes from: %w", err)
	}
	return nil
}

// unpack unpacks the archive at path, which people know as source.
func unpack(ctx context.Context, source, path, dir string, limits archive.Limits) (archive.Contents, error) {
	contents, err := archive.Unpack(ctx, path, dir, limits)
	if errors.Is(err, archive.ErrLimit) {
		err = fmt.Errorf("%w; if you trust it, allow more by --max-bytes or --max-files", err)
	}
	if err != nil {
		return contents, fmt.Errorf("unpack %s: %w", source, err)
	}
	return contents, nil
}

// Use calls use with the folder or the file of a model and its origin. path may be
// a folder that Fill filled, any other, a network, a symbol, or an artifact: that
// is unpacked beside the folder out for as long as use runs, and errors name it.
func Use(ctx context.Context, path, out string, limits archive.Limits, say func(format string, a ...any), use func(path string, origin Origin) error) error {
	const doing = "convert"
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var origin Origin
	switch {
	case info.IsDir():
		document, err := os.ReadFile(filepath.Join(path, noteName))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil {
			err = json.Unmarshal(document, &origin)
		}
		if err != nil {
			return fmt.Errorf("%s: read where the artifact comes from: %w", doing, err)
		}
		path = filepath.Join(path, Artifact)
	case strings.HasSuffix(path, modelfolder.SymbolSuffix), strings.HasSuffix(path, modelfolder.ONNXSuffix):
	case strings.HasSuffix(path, ".params"), strings.HasSuffix(path, ".json"):
		return ErrPart
	default:
		sum, err := model.FileSHA256(path)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		origin.Artifact = &model.Artifact{Source: filepath.Base(path), SHA256: sum, Bytes: info.Size()}
		unpacked, err := os.MkdirTemp(filepath.Dir(out), workfolder.TemporaryPrefix)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		defer os.RemoveAll(unpacked)
		contents, err := unpack(ctx, path, path, unpacked, limits)
		if err != nil {
			return err
		}
		modelfolder.SayLitter(say, contents.Litter)
		return workfolder.Unnamed(use(unpacked, origin), unpacked, path)
	}
	return use(path, origin)
}
