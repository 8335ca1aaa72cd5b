package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/artifactcache"
	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelfolder"
	"github.com/brainseg/brainseg/internal/build/trainingjob"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/progress"
)

// A pulled folder has the unpacked artifact in one folder and, out of its reach,
// what is known of its origin.
const (
	artifactDir = "artifact"
	pulledName  = "pulled.json"
)

// pulled is the form of pulled.json.
type pulled struct {
	TrainingJob *model.TrainingJob `json:"trainingJob,omitempty"`
	Artifact    *model.Artifact    `json:"artifact"`
}

// source is where an artifact comes from, and what it may be.
type source struct {
	trainingJob, s3, file string
	versionID, sha256     string
	limits                archive.Limits
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.trainingJob, "training-job", "", "name of a SageMaker training job")
	cmd.Flags().StringVar(&s.s3, "s3", "", "s3://bucket/key of an artifact")
	cmd.Flags().StringVar(&s.file, "file", "", "an artifact on this machine, .tar.gz or .zip")
	cmd.Flags().StringVar(&s.versionID, "version-id", "", "version of the object on S3 (default: the newest)")
	cmd.Flags().StringVar(&s.sha256, "sha256", "", "digest that the artifact must have")
	limitFlags(cmd, &s.limits)
}

// limitFlags adds --max-bytes and --max-files.
func limitFlags(cmd *cobra.Command, limits *archive.Limits) {
	cmd.Flags().Int64Var(&limits.Bytes, "max-bytes", 0, "most bytes to unpack (default 4 GiB)")
	cmd.Flags().IntVar(&limits.Entries, "max-files", 0, "most files and folders to unpack (default 10000)")
}

// unpackArchive unpacks the archive at path, which people know as source.
func unpackArchive(ctx context.Context, source, path, dir string, limits archive.Limits) (archive.Contents, error) {
	contents, err := archive.Unpack(ctx, path, dir, limits)
	if errors.Is(err, archive.ErrLimit) {
		err = fmt.Errorf("%w; if you trust it, allow more by --max-bytes or --max-files", err)
	}
	if err != nil {
		return contents, fmt.Errorf("unpack %s: %w", source, err)
	}
	return contents, nil
}

func (s *source) check() error {
	given := 0
	for _, v := range []string{s.trainingJob, s.s3, s.file} {
		if v != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return usagef("give one of --training-job, --s3 and --file")
	case s.file != "" && s.versionID != "":
		return usagef("--version-id is of objects on S3, not of files")
	}
	if sum, err := hex.DecodeString(s.sha256); s.sha256 != "" && (err != nil || len(sum) != sha256.Size) {
		return usagef("--sha256 is %q, and must be %d hexadecimal digits", s.sha256, 2*sha256.Size)
	}
	s.sha256 = strings.ToLower(s.sha256)
	return nil
}

func pullCommand(s *settings) *cobra.Command {
	var src source
	var out string
	cmd := &cobra.Command{
		Use:     "pull (--training-job NAME | --s3 URI | --file FILE) --out DIR",
		Short:   "Fetch and unpack what a training job left",
		Example: "  model-build pull --training-job brain-segmentation-2024-05-01 --out pulled",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := src.check(); err != nil {
				return err
			}
			if err := required(map[string]string{"out": out}); err != nil {
				return err
			}
			err := fill(out, func(dir string) error {
				a, origin, err := s.fetch(cmd.Context(), src)
				if err != nil {
					return err
				}
				return s.unpack(cmd.Context(), a, origin, src.limits, dir)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(s.console.out, "%s\n", filepath.Join(out, artifactDir))
			return nil
		},
	}
	src.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "folder to make (required)")
	s.accessFlags(cmd)
	s.cacheFlag(cmd)
	return cmd
}

// fetch brings the artifact into the cache.
func (s *settings) fetch(ctx context.Context, src source) (artifactcache.Artifact, *pulled, error) {
	var none artifactcache.Artifact
	cache, err := artifactcache.Open(s.cache)
	if err != nil {
		return none, nil, err
	}
	origin := new(pulled)
	uri := src.s3
	var configuration aws.Config
	if src.file == "" {
		if configuration, err = awsaccess.Load(ctx, awsaccess.Options{Region: s.region, Profile: s.profile}); err != nil {
			return none, nil, err
		}
	}
	if src.trainingJob != "" {
		job, err := trainingjob.Describe(ctx, sagemaker.NewFromConfig(configuration), src.trainingJob)
		if err != nil {
			return none, nil, err
		}
		origin.TrainingJob, uri = job, job.Artifact
		s.console.say("training job %s left %s", job.Name, uri)
	}
	var a artifactcache.Artifact
	if src.file != "" {
		a, err = cache.FromFile(ctx, src.file)
		if err == nil && src.sha256 != "" && a.SHA256 != src.sha256 {
			err = fmt.Errorf("%w: %s has sha256 %s, and %s was asked for", artifactcache.ErrChecksum, src.file, a.SHA256, src.sha256)
		}
		a.Source = filepath.Base(src.file) // the folder is nobody's business
	} else {
		bar := &transferBar{console: s.console, task: s.console.display.Begin()}
		a, err = cache.FromS3(ctx, awsaccess.S3(configuration), uri, artifactcache.Options{VersionID: src.versionID, SHA256: src.sha256, Progress: bar.moved})
		bar.task.End()
	}
	if err != nil {
		return none, nil, err
	}
	switch {
	case src.file != "":
		s.console.say("artifact %s: %d bytes, sha256 %s", a.Source, a.Size, a.SHA256)
	case a.Cached:
		s.console.say("artifact found in the cache: %d bytes, sha256 %s, checked by %s", a.Size, a.SHA256, a.CheckedBy)
	default:
		s.console.say("artifact fetched: %d bytes, sha256 %s, checked by %s", a.Size, a.SHA256, a.CheckedBy)
	}
	if a.CheckedBy == artifactcache.BySize && src.sha256 == "" {
		s.console.say("S3 keeps no checksum of this object; --sha256 would hold it to a digest")
	}
	origin.Artifact = &model.Artifact{Source: a.Source, VersionID: a.VersionID, SHA256: a.SHA256, Bytes: a.Size, CheckedBy: a.CheckedBy}
	return a, origin, nil
}

// unpack fills the pulled folder dir.
func (s *settings) unpack(ctx context.Context, a artifactcache.Artifact, origin *pulled, limits archive.Limits, dir string) error {
	contents, err := unpackArchive(ctx, a.Source, a.Path, filepath.Join(dir, artifactDir), limits)
	if err != nil {
		return err
	}
	s.console.say("  unpacked %d files", len(contents.Files))
	modelfolder.SayLitter(s.console.say, contents.Litter)
	document, err := json.MarshalIndent(origin, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, pulledName), document, 0o640)
	}
	if err != nil {
		return fmt.Errorf("note where the artifact comes from: %w", err)
	}
	return nil
}

// transferBar shows a transfer on a terminal, and a line at its beginning
// elsewhere.
type transferBar struct {
	console console
	task    *progress.Task
	began   sync.Once
}

func (t *transferBar) moved(done, size int64) {
	t.began.Do(func() {
		switch {
		case done > 0:
			t.console.say("fetching %d bytes, of which an earlier run has brought %d", size, done)
		case !t.console.display.Terminal():
			t.console.say("fetching %d bytes", size)
		}
	})
	t.task.Transfer("fetching", done, size)
}
