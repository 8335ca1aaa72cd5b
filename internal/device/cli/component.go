package cli

import (
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/greengrass"
)

// awaitModel leaves the other half of the start's time, by the recipe, to the rest.
const awaitModel = time.Minute

func componentCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "component",
		Short: "Run under a Greengrass nucleus, which starts this command",
		Long: "Run as a Greengrass component. The nucleus starts this command and gives it its socket and token in the\n" +
			"environment; the configuration comes from the deployment. Exit code 3 means that the nucleus refused the token,\n" +
			"4 that the model hung twice within a minute: the nucleus starts the component again after both.",
		Args: command.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := zap.NewAtomicLevel()
			logger := newLogger(cmd.OutOrStdout(), level)
			defer logger.Sync()
			err := greengrass.Run(cmd.Context(), greengrass.Options{
				Version: Version, Logger: logger, Level: &level, OwnProcess: true,
				KeepModel: "model", KeepConfiguration: "kept-configuration.json", AwaitModel: awaitModel,
			})
			if err != nil {
				logger.Error("component ended", zap.Error(err))
			}
			return err
		},
	}
}
