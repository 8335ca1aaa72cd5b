// Package cli is the command line of model-build: from the name of a
// SageMaker training job to a model component of AWS IoT Greengrass, in steps
// that can be taken one by one or all at once.
//
// It parses flags, prints, and hands the model from step to step; the work is
// done by the packages that it calls. It is called by model-build/main.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/artifactcache"
	"github.com/brainseg/brainseg/internal/build/workfolder"
	"github.com/brainseg/brainseg/internal/output"
	"github.com/brainseg/brainseg/internal/progress"
)

// Exit codes of the program.
const (
	ExitOK     = 0
	ExitFailed = 1 // what was asked for did not work
	ExitUsage  = 2 // the command line is wrong
)

// Version is the version of the program, set by the linker.
var Version = "development"

// usageError says that the command line is wrong.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// settings are what commands share.
type settings struct {
	region, profile, cache string
	console                console
}

// console is where the program speaks: results to out, what is going on to
// progress, above what display draws.
type console struct {
	out, progress io.Writer
	display       *progress.Display
}

func (c console) say(format string, a ...any) {
	fmt.Fprintln(c.progress, output.Printable(fmt.Sprintf(format, a...)))
}

// Run carries out the command line args, without the program's name, and
// returns the exit code. It ends early when ctx does.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	results := output.NewStream(stdout)
	display := progress.New(results, stderr)
	stdout, stderr = display.Out(), display.Messages()
	s := &settings{console: console{out: stdout, progress: stderr, display: display}}
	root := &cobra.Command{
		Use:   "model-build COMMAND",
		Short: "Make the Greengrass model component from a SageMaker training job",
		Long: "model-build fetches what a SageMaker training job left, converts it to ONNX, makes it fast, checks it as the\n" +
			"component would run it, packages it and publishes it to AWS IoT Greengrass.\n\n" +
			"Credentials and region come from the AWS SDK's ordinary chain: environment, ~/.aws, container, instance;\n" +
			"AWS_ENDPOINT_URL and its kin are honoured.",
		Example:               "  model-build all --training-job brain-segmentation-2024-05-01 --bucket my-components",
		Version:               Version,
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		Args:                  noSuchCommand,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(pullCommand(s), convertCommand(s), optimiseCommand(s), verifyCommand(s), packageCommand(s), publishCommand(s), allCommand(s), hostCommand(s), measureCommand(s))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })

	err := root.ExecuteContext(ctx)
	display.Close()
	if err == nil {
		err = results.Err()
	}
	var usage usageError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "model-build: %s\nSee model-build --help.\n", output.Printable(err.Error()))
		return ExitUsage
	}
	fmt.Fprintf(stderr, "model-build: %s\n", output.Printable(err.Error()))
	return ExitFailed
}

// noSuchCommand makes a word that is no command a usage error.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		meant = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("there is no command %q%s", args[0], meant)
}

// noArguments makes an argument a usage error.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, and was given %q", cmd.Name(), args)
	}
	return nil
}

// required is the usage error of flags without which a command cannot run.
func required(flags map[string]string) error {
	var missing []string
	for name, value := range flags {
		if value == "" {
			missing = append(missing, "--"+name)
		}
	}
	slices.Sort(missing)
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return usagef("%s is required", missing[0])
	}
	return usagef("%s are required", strings.Join(missing, " and "))
}

// present is the error of files and folders that flags name and that are not
// there: better said before an hour's work than after it.
func present(flags map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if path := flags[name]; path != "" {
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("--%s: %w", name, err)
			}
		}
	}
	return nil
}

// accessFlags adds --region and --profile.
func (s *settings) accessFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.region, "region", "", "AWS region (default: AWS_REGION, ~/.aws/config)")
	cmd.Flags().StringVar(&s.profile, "profile", "", "profile of ~/.aws/config")
}

// cacheFlag adds --cache.
func (s *settings) cacheFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.cache, "cache", artifactcache.DefaultFolder(), "folder that keeps fetched artifacts")
}

// libraryFlag adds --library.
func libraryFlag(cmd *cobra.Command, library *string) {
	cmd.Flags().StringVar(library, "library", "", "path of libonnxruntime.so.1 (default: BRAINSEG_ONNXRUNTIME, beside the executable, in the repository)")
}

// goldenFlag adds --golden.
func goldenFlag(cmd *cobra.Command, golden *string) {
	cmd.Flags().StringVar(golden, "golden", defaultGolden(), "folder of PNG slices to try the model on, searched with its folders; NAME_golden.png beside NAME.png is the mask it must give")
}

// defaultGolden is the repository's samples where the program runs in it.
func defaultGolden() string {
	samples := filepath.Join("artifacts", "samples")
	if info, err := os.Stat(samples); err == nil && info.IsDir() {
		return samples
	}
	return ""
}

// fill is workfolder.Fill for a folder that the user has named.
func fill(out string, make func(dir string) error) error {
	err := workfolder.Fill(out, make)
	if errors.Is(err, workfolder.ErrNotEmpty) {
		return usagef("the folder %s is not empty; remove it, or name another by --out", out)
	}
	return err
}

// tool names the program in a model's provenance.
func tool() string { return "model-build " + Version }
