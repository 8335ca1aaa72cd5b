// Package cli is the command line of brainseg: the component under Greengrass,
// the same component on a local nucleus, segmentation straight to files, and a
// small client that sends requests as another component would.
//
// It parses flags and prints; the work is done by the packages that it calls. Here are
// the program itself and the commands that run until they are ended; package files has
// those that segment straight to files, package client those that ask a component, and
// package command what all of them need. The main package component calls it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/cli/client"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/cli/files"
	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/watchdog"
	"github.com/brainseg/brainseg/internal/output"
)

// Version is the version of the program, set by the linker.
var Version = "development"

// Run carries out the command line args, without the program's name, and
// returns the exit code, one of package command. It ends early when ctx does.
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
		Args:          command.Arguments(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(componentCommand(), localCommand(), dicomCommand(), serveCommand())
	root.AddCommand(files.SegmentCommand(), files.VolumeCommand(Version), client.RequestCommand(), client.StatusCommand())
	root.SetArgs(args)
	root.SetOut(results)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Misused(err) })

	err := root.ExecuteContext(ctx)
	if err == nil {
		err = results.Err()
	}
	var usage command.UsageError
	var exit command.ExitError
	switch {
	case err == nil:
		return command.ExitOK
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "brainseg: %s\nSee brainseg --help.\n", output.Printable(err.Error()))
		return command.ExitUsage
	case errors.Is(err, ggipc.ErrTokenRefused):
		fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
		return command.ExitTokenRefused
	case errors.Is(err, watchdog.ErrGaveUp):
		fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
		return command.ExitHung
	}
	fmt.Fprintf(stderr, "brainseg: %s\n", output.Printable(err.Error()))
	return command.ExitFailed
}

// newLogger writes JSON lines to w.
func newLogger(w io.Writer, level zap.AtomicLevel) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.TimeKey = "time"
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level))
}
