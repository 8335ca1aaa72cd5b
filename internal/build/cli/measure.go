package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/model"
)

// measureCommand is how the program calls itself: what a model needs of memory is
// told best by a process that does nothing else.
func measureCommand(s *settings) *cobra.Command {
	var folder, library string
	cmd := &cobra.Command{
		Use:    "measure --model DIR",
		Short:  "Measure time and memory of a model, as JSON",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": folder}); err != nil {
				return err
			}
			measured, err := modelcheck.Measure(cmd.Context(), folder, modelcheck.FindLibrary(library), 0)
			if err != nil {
				return err
			}
			return json.NewEncoder(s.console.out).Encode(measured)
		},
	}
	cmd.Flags().StringVar(&folder, "model", "", "folder with model.onnx and manifest.json (required)")
	libraryFlag(cmd, &library)
	return cmd
}

// measure runs measureCommand in a process of its own.
func measure(ctx context.Context, folder, library string) (*model.Measured, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("measure time and memory: %w", err)
	}
	command := exec.CommandContext(ctx, executable, "measure", "--model", folder, "--library", library)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("measure time and memory: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	measured := new(model.Measured)
	if err := json.Unmarshal(output, measured); err != nil {
		return nil, fmt.Errorf("measure time and memory: %w", err)
	}
	return measured, nil
}
