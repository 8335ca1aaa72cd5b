package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/build/publish"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	Bucket  string
	Version string
	Wait    time.Duration
	dryRun  bool

	begun string
	begin func(version string) error
}

func (o *publishOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Bucket, "bucket", "", "S3 bucket for the component's artifact, in the component's region")
	cmd.Flags().StringVar(&o.Version, "publish-version", "", "version to publish (default: the highest that exists, its last number one higher)")
	cmd.Flags().DurationVar(&o.Wait, "wait", 5*time.Minute, "how long Greengrass may take")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would be published, and change nothing at AWS")
}

func (o *publishOptions) check() error {
	if o.dryRun && o.Bucket == "" {
		return usagef("--dry-run needs --bucket: without one, nothing is published")
	}
	return nil
}

func publishCommand(s *settings) *cobra.Command {
	var o publishOptions
	var dir string
	cmd := &cobra.Command{
		Use:     "publish --package DIR --bucket NAME",
		Short:   "Upload the model component and create it in AWS IoT Greengrass",
		Example: "  model-build publish --package package --bucket my-components --dry-run",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"package": dir, "bucket": o.Bucket}); err != nil {
				return err
			}
			result, err := s.publish(cmd.Context(), dir, o)
			if err != nil {
				return err
			}
			s.printPublished(result)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "package", "", "folder that package made (required)")
	o.flags(cmd)
	s.accessFlags(cmd)
	return cmd
}

func (s *settings) publish(ctx context.Context, dir string, o publishOptions) (*publish.Result, error) {
	p, err := modelpackage.Open(dir)
	if err != nil {
		return nil, err
	}
	configuration, err := awsaccess.Load(ctx, awsaccess.Options{Region: s.region, Profile: s.profile})
	if err != nil {
		return nil, err
	}
	task := s.console.display.Begin()
	defer task.End()
	task.Spin("publishing")
	clients := publish.Clients{S3: awsaccess.S3(configuration), Greengrass: greengrassv2.NewFromConfig(configuration), STS: sts.NewFromConfig(configuration)}
	return publish.Publish(ctx, clients, p, publish.Options{
		Bucket: o.Bucket, Region: configuration.Region, Version: o.Version, DryRun: o.dryRun, Wait: o.Wait, Begun: o.begun, Begin: o.begin,
		Progress: func(what string) { s.console.say("  %s", what) },
	})
}

// begun is what is kept of a publication that is not finished: publishing.json
// in the work folder.
type begun struct {
	Package string `json:"package"` // its digest
	Bucket  string `json:"bucket"`
	Version string `json:"version"`
}

// publishStep publishes and keeps the record in the folder out. A publication
// that was interrupted is remembered in the work folder and finished.
func (s *settings) publishStep(ctx context.Context, work, packageDir, out string, o publishOptions) error {
	p, err := modelpackage.Open(packageDir)
	if err != nil {
		return err
	}
	memory := filepath.Join(work, "publishing.json")
	var last begun
	if document, err := os.ReadFile(memory); err == nil && json.Unmarshal(document, &last) == nil && last.Package == p.Digest() && last.Bucket == o.Bucket {
		o.begun = last.Version
	}
	o.begin = func(version string) error {
		document, err := json.Marshal(begun{p.Digest(), o.Bucket, version})
		if err != nil {
			return err
		}
		return renameio.WriteFile(memory, document, 0o640)
	}
	result, err := s.publish(ctx, packageDir, o)
	if errors.Is(err, publish.ErrFailed) {
		return errors.Join(err, os.RemoveAll(memory)) // it never will
	}
	if err != nil {
		return err
	}
	document, err := json.MarshalIndent(result, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(out, publishedName), document, 0o640)
	}
	if err != nil {
		return fmt.Errorf("note what was published: %w", err)
	}
	return nil
}

const publishedName = "published.json"

func (s *settings) printPublished(r *publish.Result) {
	if r.DryRun {
		fmt.Fprintf(s.console.out, "Would upload %s\nand create %s with the recipe:\n\n%s", strings.Join(r.Artifacts, " and "), r.ARN, r.Recipe)
		return
	}
	fmt.Fprintf(s.console.out, "Published %s %s\n%s\n%s", r.Component, r.Version, r.ARN, r.NextStep())
}
