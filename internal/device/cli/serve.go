package cli

import (
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/hosting"
)

func serveCommand() *cobra.Command {
	var model, library string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a model as Amazon SageMaker asks of a container",
		Long: "Answer GET /ping and POST /invocations on port 8080: PNG and JPEG slices, request documents in JSON, and scans in NIfTI or\n" +
			"zipped DICOM, beside the service over HTTP. This is what the image runs at an endpoint and in a transform job; see\n" +
			"docs/hosting.md. Elsewhere only this machine is let in. SIGTERM has it finish what it has taken.",
		Args: command.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, err := hosting.FromEnvironment(os.Getenv)
			if err != nil {
				return command.Misused(err)
			}
			level := zap.NewAtomicLevel()
			logger := newLogger(cmd.OutOrStdout(), level)
			defer logger.Sync()
			options.Model, options.Library, options.Fallback = model, library, command.DefaultModel()
			options.Version, options.Logger, options.Level = Version, logger, &level
			return hosting.Run(cmd.Context(), options)
		},
	}
	cmd.Flags().StringVar(&model, "model", hosting.ModelFolder, "folder to find the model in; the shipped one serves where there is none")
	cmd.Flags().StringVar(&library, "library", "", "path of libonnxruntime (default: beside the executable)")
	return cmd
}
