// Model-build makes the Greengrass model component from a SageMaker training
// job. see package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/brainseg/brainseg/internal/build/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
