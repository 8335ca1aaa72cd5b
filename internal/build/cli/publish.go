package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
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
			result, err := s.publish(cmd.Context(), dir, o, publish.Publish)
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

// publish has run, publish.Publish or what stands for it, publish the package in
// the folder dir.
func (s *settings) publish(ctx context.Context, dir string, o publishOptions,
	run func(context.Context, publish.Clients, *modelpackage.Package, publish.Options) (*publish.Result, error),
) (*publish.Result, error) {
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
	return run(ctx, clients, p, publish.Options{
		Bucket: o.Bucket, Region: configuration.Region, Version: o.Version, DryRun: o.dryRun, Wait: o.Wait,
		Progress: func(what string) { s.console.say("  %s", what) },
	})
}

func (s *settings) printPublished(r *publish.Result) {
	if r.DryRun {
		fmt.Fprintf(s.console.out, "Would upload %s\nand create %s with the recipe:\n\n%s", strings.Join(r.Artifacts, " and "), r.ARN, r.Recipe)
		return
	}
	fmt.Fprintf(s.console.out, "Published %s %s\n%s\n%s", r.Component, r.Version, r.ARN, r.NextStep())
}
