// Package client has the commands that ask a running component over Greengrass IPC, as
// another component would: request for a slice or a scan, status for how it fares.
//
// It reads no scan and runs no model; pictures it reads to show them on a terminal.
// Package cli calls it.
package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

type requestFlags struct {
	to      string
	overlay bool
	spacing []float64
	timeout time.Duration
	scan    scanFlags
}

// RequestCommand sends a request and shows what becomes of it.
func RequestCommand() *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "request IMAGE",
		Short: "Send a request to the component, as another component would",
		Long: "Publish a request for IMAGE, a path on this device or s3://bucket/key, and show status messages and the result.\n" +
			"A folder, and a file called as NIfTI, DICOM or a zip, is a whole scan; Ctrl-C calls it off.\n" +
			"It runs as a Greengrass component or under brainseg local: socket and token come from the environment.",
		Example: "  brainseg local -- brainseg request --overlay slice.png\n  brainseg local -- brainseg request --kinds labels,seg series/",
		Args:    command.Arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sendRequest(cmd.Context(), f, args[0], cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.to, "to", "", "name of the mask, or the beginning of those of a scan's results, below the component's output folder, or s3://bucket/key (default: the image's name)")
	command.SpacingFlag(cmd.Flags(), &f.spacing)
	cmd.Flags().BoolVar(&f.overlay, "overlay", false, "also ask for the slice with the tissues in colour")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "for how long to wait for the result (default: 30s, and 1h for a scan)")
	f.scan.add(cmd)
	return cmd
}

// document makes the request for an image.
func (f requestFlags) document(id, image string) ([]byte, error) {
	if f.scan.meant(image) {
		return f.scan.document(id, image, f.to)
	}
	mm, err := command.Spacing(f.spacing)
	if err != nil {
		return nil, err
	}
	reference := map[string]any{"s3": image}
	name := image[strings.LastIndexByte(image, '/')+1:]
	if !strings.HasPrefix(image, "s3://") {
		absolute, err := filepath.Abs(image)
		if err != nil {
			return nil, err
		}
		reference = map[string]any{"path": absolute}
	}
	if len(f.spacing) > 0 {
		reference["spacingMm"] = mm
	}
	to := f.to
	if to == "" {
		to = strings.TrimSuffix(name, filepath.Ext(name)) + ".png"
	}
	return json.Marshal(map[string]any{"id": id, "image": reference, "output": map[string]any{"to": to, "overlay": f.overlay}, "acknowledge": true})
}

func sendRequest(ctx context.Context, f requestFlags, image string, stdout io.Writer) error {
	id := rand.Text()
	document, err := f.document(id, image)
	if err != nil {
		return err
	}
	whole, asked := f.scan.meant(image), ctx
	if f.timeout <= 0 {
		if f.timeout = 30 * time.Second; whole {
			f.timeout = time.Hour
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	statuses := make(chan []byte, 64)
	if _, err := client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: config.StatusTopic}, func(ctx context.Context, m ggipc.TopicMessage) {
		select {
		case statuses <- m.Bytes():
		case <-ctx.Done():
		}
	}); err != nil {
		return err
	}
	answers, failed := make(chan []byte, 1), make(chan error, 1)
	go func() {
		answer, err := client.Ask(ctx, ggipc.AskRequest{Topic: config.RequestTopic, Message: document, ReplyTopic: config.ResultTopic, Classify: replyTo(id)})
		if err != nil {
			failed <- err
			return
		}
		answers <- answer
	}()
	for {
		select {
		case s := <-statuses:
			PrintStatus(stdout, s)
		case answer := <-answers:
			drain(statuses, stdout)
			r, err := request.ParseResult(answer)
			if err != nil {
				return err
			}
			return showResult(stdout, image, r)
		case err := <-failed:
			if ctx.Err() == nil {
				return err
			}
			if asked.Err() != nil && whole {
				callOff(client, id)
			}
			return fmt.Errorf("no result on topic %s within %s: is the component running, and may this one subscribe?", config.ResultTopic, f.timeout)
		}
	}
}

// replyTo tells the replies to a request from others.
func replyTo(id string) func([]byte) ggipc.Reply {
	return func(document []byte) ggipc.Reply {
		r, err := request.ParseResult(document)
		switch {
		case err != nil || r.ID != id:
			return ggipc.ReplyNone
		case r.Status == request.StatusAccepted:
			return ggipc.ReplyAccepted
		}
		return ggipc.ReplyAnswer
	}
}

// drain prints the status messages that are on their way: results and status
// come on topics of their own, and neither waits for the other.
func drain(statuses <-chan []byte, w io.Writer) {
	for {
		select {
		case s := <-statuses:
			PrintStatus(w, s)
		case <-time.After(StatusDelay):
			return
		}
	}
}

// StatusDelay is for how long a status message may be on its way.
const StatusDelay = 50 * time.Millisecond

// PrintStatus prints a status message and returns its state.
func PrintStatus(w io.Writer, document []byte) request.State {
	var s request.Status
	if json.Unmarshal(document, &s) == nil {
		progress := ""
		if s.Progress > 0 {
			progress = fmt.Sprintf(" %.0f %%", 100*s.Progress)
		}
		fmt.Fprintf(w, "status  %s  %s%s\n", s.Time.Local().Format("15:04:05.000"), s.Message, progress)
	}
	return s.State
}
