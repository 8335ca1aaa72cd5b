package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/artifactfolder"
	"github.com/brainseg/brainseg/internal/build/hosting"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/model"
)

// hostOptions are the flags of host.
type hostOptions struct {
	source  source
	packed  string
	out     string
	content string
	hosting.Options
}

func hostCommand(s *settings) *cobra.Command {
	var o hostOptions
	cmd := &cobra.Command{
		Use:   "host (--training-job NAME | --s3 URI | --package DIR --model-data URI) --image URI --role ARN --out DIR",
		Short: "Write what creates a SageMaker endpoint and transform job of the model",
		Long: "Write the documents by which boto3, the AWS command line or CDK create the model, an endpoint and, with --input and --output, a\n" +
			"transform job at SageMaker, in brainseg's container. What a training job left is served as it is where brainseg runs it;\n" +
			"for a model of MXNet take the package that model-build all made of it.",
		Example: "  model-build host --training-job brain-segmentation-2026-05-01 --image 123456789012.dkr.ecr.eu-west-1.amazonaws.com/brainseg:1 \\\n" +
			"      --role arn:aws:iam::123456789012:role/brainseg --input s3://scans/in --output s3://scans/out --content scans --out hosting",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"image": o.Image, "role": o.Role, "out": o.out}); err != nil {
				return err
			}
			switch given := o.source.TrainingJob + o.source.S3; {
			case (given == "") == (o.packed == "") || o.source.TrainingJob != "" && o.source.S3 != "":
				return usagef("give one of --training-job, --s3 and --package")
			case (o.packed == "") != (o.ModelData == ""):
				return usagef("--model-data goes with --package: the s3:// URI to which its archive will be uploaded")
			}
			o.Content = hosting.Content(o.content)
			err := fill(o.out, func(dir string) error { return s.host(cmd.Context(), o, dir) })
			if errors.Is(err, hosting.ErrOptions) {
				return usageError{err}
			}
			if err == nil {
				s.printHosting(o)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.source.TrainingJob, "training-job", "", "name of a SageMaker training job")
	flags.StringVar(&o.source.S3, "s3", "", "s3://bucket/key of a model's archive")
	flags.StringVar(&o.packed, "package", "", "folder that package made")
	flags.StringVar(&o.ModelData, "model-data", "", "s3:// URI for the archive that is made of --package, .tar.gz")
	flags.StringVar(&o.Image, "image", "", "brainseg's container in ECR (required)")
	flags.StringVar(&o.Role, "role", "", "ARN of the role that the container gets (required)")
	flags.StringVar(&o.Name, "name", "", "name at SageMaker (default: the model's, with its version)")
	flags.StringVar(&o.InstanceType, "instance-type", "ml.c7i.xlarge", "of endpoint and job")
	flags.IntVar(&o.Instances, "instances", 1, "of endpoint and job")
	flags.StringVar(&o.Async, "async", "", "s3:// prefix for answers: makes the endpoint asynchronous, for scans")
	flags.StringVar(&o.Input, "input", "", "s3:// prefix of a transform job's files")
	flags.StringVar(&o.Output, "output", "", "s3:// prefix for their answers")
	flags.StringVar(&o.content, "content", string(hosting.Slices), "what the files hold: slices, scans, or requests (documents, one a line)")
	flags.StringVar(&o.Accept, "accept", "", "type of the answers, such as application/json for millilitres (default: masks, label maps, result documents)")
	flags.StringSliceVar(&o.Buckets, "bucket", nil, "bucket that request documents may name (can be repeated; default: none, and no network)")
	flags.StringVar(&o.out, "out", "", "folder to make (required)")
	s.accessFlags(cmd)
	s.cacheFlag(cmd)
	return cmd
}

// hostArchive is the archive that is made of a package.
const hostArchive = "model.tar.gz"

// host fills the folder dir.
func (s *settings) host(ctx context.Context, o hostOptions, dir string) error {
	var manifest *model.Manifest
	var err error
	if o.packed != "" {
		var p *modelpackage.Package
		if p, err = modelpackage.Open(o.packed); err == nil {
			manifest, err = hosting.Repack(p, o.InstanceType, filepath.Join(dir, hostArchive))
		}
	} else {
		manifest, o.ModelData, err = s.look(ctx, o.source)
	}
	if err != nil {
		return err
	}
	if o.Name == "" {
		o.Name = hosting.NameOf(manifest)
	}
	if err := hosting.Write(dir, o.Options); err != nil {
		return err
	}
	s.console.say("  %s %s, as %s", manifest.Name, manifest.Version, o.Name)
	return nil
}

// look fetches an artifact and sees whether the container can run it.
func (s *settings) look(ctx context.Context, src source) (manifest *model.Manifest, uri string, err error) {
	a, origin, err := s.fetch(ctx, src)
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "model-build-host-")
	if err != nil {
		return nil, "", fmt.Errorf("look into the artifact: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := artifactfolder.Fill(ctx, dir, a, origin, src.limits, s.console.say); err != nil {
		return nil, "", err
	}
	at, err := model.Find(filepath.Join(dir, artifactfolder.Artifact))
	if err != nil {
		return nil, "", err
	}
	if manifest, err = model.ReadManifest(at); err != nil {
		return nil, "", err
	}
	sum, err := model.FileSHA256(filepath.Join(at, manifest.File))
	if err != nil || sum != manifest.SHA256 {
		return nil, "", errors.Join(fmt.Errorf("%w: %s", model.ErrChecksum, manifest.File), err)
	}
	return manifest, a.Source, nil
}

// printHosting says what to do with the documents.
func (s *settings) printHosting(o hostOptions) {
	out := s.console.out
	if o.packed != "" {
		fmt.Fprintf(out, "aws s3 cp %s %s\n", filepath.Join(o.out, hostArchive), o.ModelData)
	}
	steps := []string{"model"}
	if o.Input != "" {
		steps = append(steps, "transform-job")
	} else {
		steps = append(steps, "endpoint-config", "endpoint")
	}
	for _, step := range steps {
		fmt.Fprintf(out, "aws sagemaker create-%s --cli-input-json file://%s\n", step, filepath.Join(o.out, "create-"+step+".json"))
	}
}
