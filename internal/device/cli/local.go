package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/cli/client"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/output"
)

// clientName is the component that may send requests on the local nucleus.
const clientName = "io.brainseg.Client"

type localFlags struct {
	profile string
	socket  string
	images  []string
	out     string
	queue   string
	model   string
	library string
	http    string
	token   string // the file that it is in
	debug   bool
}

func localCommand() *cobra.Command {
	var f localFlags
	cmd := &cobra.Command{
		Use:   "local [-- COMMAND [ARGUMENT...]]",
		Short: "Run the component on a local nucleus, without a core device",
		Long: "Run the component on a nucleus of its own, which serves Greengrass IPC on a Unix socket as a core device does.\n" +
			"It runs until it is interrupted. With a COMMAND, that is run as another component, with the socket and a token in its\n" +
			"environment, once requests are taken; everything ends when it does, with its exit code.",
		Example: "  brainseg local\n  brainseg local -- brainseg request slice.png\n  brainseg local --profile lite -- python3 my_component.py",
		RunE: func(cmd *cobra.Command, program []string) error {
			if len(program) > 0 && cmd.ArgsLenAtDash() != 0 {
				return command.Misused(errors.New("a command to run must stand behind --"))
			}
			if !cmd.Flags().Changed("http") && len(program) > 0 {
				f.http = ""
			}
			return local(cmd.Context(), f, program, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "classic", "the nucleus to imitate: classic or lite")
	flags.StringVar(&f.socket, "socket", "", "path of the socket (default: in a new private folder)")
	flags.StringSliceVar(&f.images, "images", []string{"."}, "folders below which images may be read")
	flags.StringVar(&f.out, "out", "out", "folder for masks and overlays")
	flags.StringVar(&f.queue, "queue", "", "folder for requests that wait and answers that are kept (default: a new one, which goes when this ends)")
	command.ModelFlags(flags, &f.model, &f.library)
	flags.StringVar(&f.http, "http", "127.0.0.1:5000", `address of the HTTP endpoint, "" for none (default with a COMMAND)`)
	flags.StringVar(&f.token, "http-token-file", "", "file with the token that clients over HTTP must send; needed beyond loopback")
	flags.BoolVar(&f.debug, "debug", false, "log everything to standard error, file names included")
	return cmd
}

// configuration is the configuration that a deployment would set.
func (f localFlags) configuration(component string) (map[string]any, error) {
	roots := make([]any, 0, len(f.images))
	for _, dir := range f.images {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		roots = append(roots, absolute)
	}
	level := zapcore.WarnLevel
	if f.debug {
		level = zapcore.DebugLevel
	}
	c := map[string]any{
		"model":  map[string]any{"path": f.model, "library": f.library},
		"images": map[string]any{"roots": roots},
		"output": map[string]any{"root": f.out},
		"queue":  map[string]any{"folder": f.queue},
		"http":   map[string]any{"address": f.http, "tokenFile": f.token},
		"log":    map[string]any{"level": level.String()},
	}
	c["accessControl"] = accessControl(component, []string{config.ResultTopic, config.StatusTopic, config.RequestTopic}, []string{config.RequestTopic})
	return c, nil
}

// accessControl lets a component publish to and subscribe to exactly the topics
// named, and publish to the status topic of AWS IoT Core.
func accessControl(component string, publish, subscribe []string) map[string]any {
	policy := func(operation string, topics []string) map[string]any {
		return map[string]any{"operations": []any{"aws.greengrass#" + operation}, "resources": list(topics)}
	}
	return map[string]any{
		"aws.greengrass.ipc.pubsub": map[string]any{
			component + ":pubsub:1": policy("PublishToTopic", publish),
			component + ":pubsub:2": policy("SubscribeToTopic", subscribe),
		},
		"aws.greengrass.ipc.mqttproxy": map[string]any{
			component + ":mqttproxy:1": policy("PublishToIoTCore", []string{config.StatusTopic, config.ResultTopic}),
		},
	}
}

func list(texts []string) []any {
	values := make([]any, 0, len(texts))
	for _, t := range texts {
		values = append(values, t)
	}
	return values
}

func local(ctx context.Context, f localFlags, program []string, stdout, stderr io.Writer) error {
	profile, err := nucleus.ParseProfile(f.profile)
	if err != nil {
		return command.Misused(err)
	}
	if f.queue == "" {
		folder, err := os.MkdirTemp("", "brainseg-queue-")
		if err != nil {
			return fmt.Errorf("make a folder for the queue: %w", err)
		}
		defer os.RemoveAll(folder)
		f.queue = folder
	}
	configuration, err := f.configuration(greengrass.ComponentName)
	if err != nil {
		return err
	}
	n, err := nucleus.New(nucleus.Options{Profile: profile, SocketPath: f.socket, Components: []nucleus.Component{
		{Name: greengrass.ComponentName, Configuration: configuration},
		{Name: clientName, Configuration: map[string]any{
			"accessControl": accessControl(clientName, []string{config.RequestTopic}, []string{config.ResultTopic, config.StatusTopic}),
		}},
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The nucleus outlives the component, which says good-bye when ctx ends.
	if err := n.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the local nucleus: %w", err)
	}
	defer n.Close()
	fmt.Fprintf(stdout, "local nucleus (%s) on %s\n", profile, n.SocketPath())

	ready, stopStatus, err := printStatus(ctx, n, stdout)
	if err != nil {
		return err
	}
	defer stopStatus()

	level := zap.NewAtomicLevelAt(zapcore.WarnLevel)
	logger := newLogger(stderr, level)
	defer logger.Sync()
	ended := make(chan error, 1)
	go func() {
		ended <- greengrass.Run(ctx, greengrass.Options{
			IPC:     ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(greengrass.ComponentName)},
			Version: Version, Logger: logger, Level: &level,
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		time.Sleep(client.StatusDelay)
		return err
	}
	if len(program) > 0 {
		stopStatus()
		err = runAs(ctx, n.Env(clientName), program, stdout, stderr)
		cancel()
		return errors.Join(err, <-ended)
	}
	printHelp(stdout, n, f)
	return <-ended
}

// printStatus prints what comes to the status topic, as any other component
// would see it, until stop is called. ready is closed when the component has
// told that it takes requests.
func printStatus(ctx context.Context, n *nucleus.Nucleus, w io.Writer) (ready <-chan struct{}, stop func(), err error) {
	watcher, err := ggipc.Connect(ctx, ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(clientName)})
	if err != nil {
		return nil, nil, err
	}
	took := make(chan struct{})
	tell := sync.OnceFunc(func() { close(took) })
	_, err = watcher.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: config.StatusTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		if client.PrintStatus(w, m.Bytes()) == request.StateReady {
			tell()
		}
	})
	if err != nil {
		watcher.Close()
		return nil, nil, fmt.Errorf("watch the status topic: %w", err)
	}
	return took, sync.OnceFunc(func() { watcher.Close() }), nil
}

func printHelp(w io.Writer, n *nucleus.Nucleus, f localFlags) {
	fmt.Fprintf(w, "\nRequests go to topic %s,\nresults come on      %s,\nstatus messages on   %s.\n", config.RequestTopic, config.ResultTopic, config.StatusTopic)
	fmt.Fprintf(w, "\nIn another terminal, be a component that sends one:\n\n  export %s=%s\n  export %s=%s\n  brainseg request IMAGE.png\n",
		ggipc.EnvSocketPath, n.SocketPath(), ggipc.EnvAuthToken, n.Token(clientName))
	if f.http != "" {
		user := ""
		if f.token != "" {
			user = fmt.Sprintf(`-u any:"$(cat %s)" `, f.token)
		}
		fmt.Fprintf(w, "\nOr over HTTP, from a browser at http://%s/, or:\n\n  curl %s-F Body=@IMAGE.png http://%s/ -o mask.png\n", f.http, user, f.http)
	}
	fmt.Fprintln(w, "\nCtrl-C stops.")
}

// runAs runs a program as another component and returns a command.ExitError where
// it does not end well.
func runAs(ctx context.Context, env, program []string, stdout, stderr io.Writer) error {
	c := exec.CommandContext(ctx, program[0], program[1:]...)
	c.Env = append(os.Environ(), env...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, stdout, stderr
	if file := output.File(stdout); file != nil {
		c.Stdout = file // a terminal stays one
	}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return command.ExitError{Code: ended.ExitCode()}
	case err != nil:
		return fmt.Errorf("run %s: %w", program[0], err)
	}
	return nil
}
