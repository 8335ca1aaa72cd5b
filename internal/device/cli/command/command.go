// Package command is what the commands of brainseg have in common: how they end, the
// flags that several have, and how they name files and tell doubts.
//
// It runs nothing. Package cli and the packages of commands below it call it.
package command

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

// Exit codes of the program.
const (
	ExitOK           = 0
	ExitFailed       = 1 // what was asked for did not work, or not for every image
	ExitUsage        = 2 // the command line is wrong
	ExitTokenRefused = 3 // the nucleus refused the token: a new process is the cure
	ExitHung         = 4 // the model hung again and again: likewise
)

// UsageError says that the command line is wrong.
type UsageError struct{ error }

// Misused makes an error one of the command line.
func Misused(err error) error { return UsageError{err} }

// ExitError has the program end with a code, and says nothing more.
type ExitError struct{ Code int }

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// Arguments makes a wrong number of arguments a usage error.
func Arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Misused(err)
		}
		return nil
	}
}

// Doubts are the reasons to look at the mask of an image.
func Doubts(image *request.Dimensions) (list []string) {
	if image.SpacingFrom == string(pixelsize.Guessed) {
		list = append(list, fmt.Sprintf("pixels of %.2g mm are guessed; --spacing states them", image.SpacingMM[0]))
	}
	if len(image.Flags) > 0 {
		list = append(list, "look at it: "+strings.Join(image.Flags, ", "))
	}
	return list
}

// Relative shortens a path below the current folder.
func Relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}
