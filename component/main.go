// Command brainseg segments brain tissue in MRI slices: as a Greengrass
// component, on a local nucleus, or straight to files. Package cli has the work.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/brainseg/brainseg/internal/device/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
