// Package cli is the command line of brainseg: the component under Greengrass,
// the same component on a local nucleus, segmentation straight to files, and a
// small client that sends requests as another component would.
//
// It parses flags and prints; the work is done by the packages that it calls.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/watchdog"
	"github.com/brainseg/brainseg/internal/output"
)

// Exit codes of the program.
const (
	ExitOK           = 0
	ExitFailed       = 1 // what was asked for did not work, or not for every image
	ExitUsage        = 2 // the command line is wrong
	ExitTokenRefused = 3 // the nucleus refused the token: a new process is the cure
	ExitHung         = 4 // the model hung again and again: likewise
)

// Version is the version of the program, set by the linker.
var Version = "development"

// usageError says that the command line is wrong.
type usageError struct{ error }

// exitError carries the exit code of a program that was run.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// Run carries out the command line args, without the program's name, and
// returns the exit code. It ends early when ctx does.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// The heap is a few megabytes, most of it buffers: collecting it three times as
	// often as with 200 costs no slice any time that can be measured, and saves 7 MB.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(60)
	}
	if limit := memory.GoLimit(); os.Getenv("GOMEMLIMIT") == "" && limit < math.MaxInt64 {
		debug.SetMemoryLimit(limit)
	}
	results := output.NewStream(stdout)
	root := &cobra.Command{
		Use:           "brainseg",
		Short:         "Segment brain tissue in MRI slices, as a Greengrass component or straight to files",
		Long:          "brainseg marks cerebrospinal fluid, grey and white matter in MRI slices.\nIt is not a medical device.",
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          arguments(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(componentCommand(), localCommand(), segmentCommand(), requestCommand(), statusCommand(), volumeCommand(), dicomCommand(), serveCommand())
	root.SetArgs(args)
	root.SetOut(results)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })

	err := root.ExecuteContext(ctx)
	if err == nil {
		err = results.Err()
	}
	var usage usageError
	var exit exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "brainseg: %s\nSee brainseg --help.\n", output.Printable(err.Error()))
		return ExitUsage
	case errors.Is(err, ggipc.ErrTokenRefused):
		fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
		return ExitTokenRefused
	case errors.Is(err, watchdog.ErrGaveUp):
		fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
		return ExitHung
	}
	fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
	return ExitFailed
}

// arguments makes a wrong number of arguments a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// newLogger writes JSON lines to w.
func newLogger(w io.Writer, level zap.AtomicLevel) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.TimeKey = "time"
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level))
}

// defaultModel finds the model that came with the program: in the repository,
// next to the executable, or in the current folder.
func defaultModel() string {
	places := []string{filepath.Join("artifacts", "model")}
	if executable, err := os.Executable(); err == nil {
		dir := filepath.Dir(executable)
		places = append(places, filepath.Join(dir, "..", "artifacts", "model"), filepath.Join(dir, "model"))
	}
	for _, dir := range places {
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
			return dir
		}
	}
	return places[0]
}
