// Model-build makes the Greengrass model component from a SageMaker training
// job. See package modelbuild.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/brainseg/brainseg/internal/modelbuild"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := modelbuild.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
