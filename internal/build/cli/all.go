package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/artifactfolder"
	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/build/publish"
	"github.com/brainseg/brainseg/internal/build/workfolder"
)

// allOptions are the flags of all.
type allOptions struct {
	source   source
	work     string
	convert  convertOptions
	optimise optimiseOptions
	verify   verifyOptions
	publish  publishOptions
}

func allCommand(s *settings) *cobra.Command {
	var o allOptions
	cmd := &cobra.Command{
		Use:   "all (--training-job NAME | --s3 URI | --file FILE) [--bucket NAME]",
		Short: "Take all steps, from the training job to the published component",
		Long: "Take all steps in a work folder: pull, convert, optimise, verify, package and, with --bucket, publish.\n" +
			"A step of which nothing has changed since the last time is left out; one that was interrupted is taken again,\n" +
			"and a transfer goes on where it stopped.",
		Example: "  model-build all --training-job brain-segmentation-2024-05-01 --labels validation --min-dice 0.8 --bucket my-components",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.optimise.Golden, o.optimise.Library = o.verify.Golden, o.verify.Library
			for _, check := range []func() error{o.source.check, o.convert.check, o.optimise.check, o.verify.check, o.publish.check} {
				if err := check(); err != nil {
					return err
				}
			}
			return s.all(cmd.Context(), o)
		},
	}
	o.source.flags(cmd)
	o.convert.flags(cmd)
	o.optimise.flags(cmd)
	goldenFlag(cmd, &o.verify.Golden)
	o.verify.labelFlags(cmd)
	libraryFlag(cmd, &o.verify.Library)
	o.publish.flags(cmd)
	s.accessFlags(cmd)
	s.cacheFlag(cmd)
	cmd.Flags().StringVar(&o.work, "work", filepath.Join("out", "model-build"), "folder for what the steps make")
	return cmd
}

// all takes the steps. Each sees what the one before left, by its digest, and
// what else it depends on.
func (s *settings) all(ctx context.Context, o allOptions) (err error) {
	p, err := workfolder.Open(o.work, tool(), s.console.say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	a, origin, err := s.fetch(ctx, o.source)
	if err != nil {
		return err
	}
	pulledDir, err := p.Step(ctx, "pull", []any{origin, o.source.limits}, func(dir string) error {
		return artifactfolder.Fill(ctx, dir, a, origin, o.source.limits, s.console.say)
	})
	if err != nil {
		return err
	}
	manifest, err := workfolder.ContentOf(o.convert.Manifest)
	if err != nil {
		return err
	}
	converted, err := p.Step(ctx, "convert", []any{manifest, o.convert.Outputs, o.convert.InputShapes}, func(dir string) error {
		return s.convert(filepath.Join(pulledDir, artifactfolder.Artifact), *origin, dir, o.convert)
	})
	if err != nil {
		return err
	}
	golden, err := workfolder.ContentOf(o.verify.Golden)
	if err != nil {
		return err
	}
	library, err := workfolder.ContentOf(modelcheck.FindLibrary(o.verify.Library))
	if err != nil {
		return err
	}
	optimised, err := p.Step(ctx, "optimise", []any{golden, library, o.optimise.MinAgreement, o.optimise.AMD64}, func(dir string) error {
		return s.optimise(ctx, converted, dir, o.optimise)
	})
	if err != nil {
		return err
	}
	labels, err := workfolder.ListingOf(o.verify.Labels)
	if err != nil {
		return err
	}
	verified, err := p.Step(ctx, "verify", []any{golden, library, labels, o.verify.MinDice}, func(dir string) error {
		if err := os.CopyFS(dir, os.DirFS(optimised)); err != nil {
			return err
		}
		return s.verifyAll(ctx, dir, o.verify)
	})
	if err != nil {
		return errors.Join(err, p.Forget("package")) // nobody shall publish what lies there of another model
	}
	packaged, err := p.Step(ctx, "package", nil, func(dir string) error {
		return s.makePackage(verified, dir, modelpackage.Options{})
	})
	if err != nil {
		return err
	}
	return s.finish(ctx, p, o.work, packaged, o.publish)
}

// finish publishes where a bucket is given, and says how it ended.
func (s *settings) finish(ctx context.Context, p *workfolder.Pipeline, work, packaged string, o publishOptions) error {
	var result *publish.Result
	switch {
	case o.Bucket == "":
		fmt.Fprintf(s.console.out, "The component is in %s; publish it with\n  model-build publish --package %s --bucket NAME\n", packaged, packaged)
	case o.dryRun:
		var err error
		if result, err = s.publish(ctx, packaged, o, publish.Publish); err != nil {
			return err
		}
	default:
		configuration, err := awsaccess.Load(ctx, awsaccess.Options{Region: s.region, Profile: s.profile})
		if err != nil {
			return err
		}
		dir, err := p.Step(ctx, "publish", []any{o.Bucket, o.Version, configuration.Region, s.profile}, func(dir string) error {
			_, err := s.publish(ctx, packaged, o, func(ctx context.Context, clients publish.Clients, p *modelpackage.Package, o publish.Options) (*publish.Result, error) {
				return publish.Once(ctx, clients, p, o, filepath.Join(work, "publishing.json"), dir)
			})
			return err
		})
		if err != nil {
			return err
		}
		if result, err = publish.ReadRecord(dir); err != nil {
			return err
		}
	}
	if result != nil {
		s.printPublished(result)
	}
	s.console.say("%d steps taken, %d up to date", p.Taken, p.Skipped)
	return nil
}
