package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/artifactcache"
	"github.com/brainseg/brainseg/internal/build/artifactfolder"
	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/progress"
)

// source is where an artifact comes from, and what it may be.
type source struct {
	artifactfolder.Source
	limits archive.Limits
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.TrainingJob, "training-job", "", "name of a SageMaker training job")
	cmd.Flags().StringVar(&s.S3, "s3", "", "s3://bucket/key of an artifact")
	cmd.Flags().StringVar(&s.File, "file", "", "an artifact on this machine, .tar.gz or .zip")
	cmd.Flags().StringVar(&s.VersionID, "version-id", "", "version of the object on S3 (default: the newest)")
	cmd.Flags().StringVar(&s.SHA256, "sha256", "", "digest that the artifact must have")
	limitFlags(cmd, &s.limits)
}

// limitFlags adds --max-bytes and --max-files.
func limitFlags(cmd *cobra.Command, limits *archive.Limits) {
	cmd.Flags().Int64Var(&limits.Bytes, "max-bytes", 0, "most bytes to unpack (default 4 GiB)")
	cmd.Flags().IntVar(&limits.Entries, "max-files", 0, "most files and folders to unpack (default 10000)")
}

func (s *source) check() error {
	given := 0
	for _, v := range []string{s.TrainingJob, s.S3, s.File} {
		if v != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return usagef("give one of --training-job, --s3 and --file")
	case s.File != "" && s.VersionID != "":
		return usagef("--version-id is of objects on S3, not of files")
	}
	if sum, err := hex.DecodeString(s.SHA256); s.SHA256 != "" && (err != nil || len(sum) != sha256.Size) {
		return usagef("--sha256 is %q, and must be %d hexadecimal digits", s.SHA256, 2*sha256.Size)
	}
	s.SHA256 = strings.ToLower(s.SHA256)
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
				return artifactfolder.Fill(cmd.Context(), dir, a, origin, src.limits, s.console.say)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(s.console.out, "%s\n", filepath.Join(out, artifactfolder.Artifact))
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
func (s *settings) fetch(ctx context.Context, src source) (artifactcache.Artifact, *artifactfolder.Origin, error) {
	bar := &transferBar{console: s.console, task: s.console.display.Begin()}
	defer bar.task.End()
	return artifactfolder.Fetch(ctx, src.Source, artifactfolder.Options{
		Cache: s.cache, Access: awsaccess.Options{Region: s.region, Profile: s.profile}, Say: s.console.say, Progress: bar.moved,
	})
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
