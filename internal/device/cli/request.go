package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/output"
)

type requestFlags struct {
	to      string
	overlay bool
	spacing []float64
	timeout time.Duration
	scan    scanFlags
}

func requestCommand() *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "request IMAGE",
		Short: "Send a request to the component, as another component would",
		Long: "Publish a request for IMAGE, a path on this device or s3://bucket/key, and show status messages and the result.\n" +
			"A folder, and a file called as NIfTI, DICOM or a zip, is a whole scan; Ctrl-C calls it off.\n" +
			"It runs as a Greengrass component or under brainseg local: socket and token come from the environment.",
		Example: "  brainseg local -- brainseg request --overlay slice.png\n  brainseg local -- brainseg request --kinds labels,seg series/",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sendRequest(cmd.Context(), f, args[0], cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.to, "to", "", "name of the mask, or the beginning of those of a scan's results, below the component's output folder, or s3://bucket/key (default: the image's name)")
	cmd.Flags().Float64SliceVar(&f.spacing, "spacing", nil, spacingUsage)
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
	mm, err := spacing(f.spacing)
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
			printStatusLine(stdout, s)
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
			printStatusLine(w, s)
		case <-time.After(statusDelay):
			return
		}
	}
}

// showResult prints a table of the tissues, where mask and overlay are, and on
// a colour terminal a small picture.
func showResult(w io.Writer, image string, r request.Result) error {
	if r.Error != nil {
		code := string(r.Error.Code)
		if r.Error.Reason != "" {
			code += ": " + r.Error.Reason
		}
		return fmt.Errorf("%s (%s)", r.Error.Message, code)
	}
	if r.Scan != nil {
		fmt.Fprintln(w)
		showScan(w, r.Scan)
		showOrigin(w, r)
		return nil
	}
	if colourTerminal(w) {
		if err := showPicture(w, image, r); err != nil {
			fmt.Fprintf(w, "(no picture: %v)\n", err)
		}
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "tissue\tpixels\tshare\t")
	for _, t := range r.Tissues {
		if t.Value != 0 {
			fmt.Fprintf(table, "%s\t%d\t%.1f %%\t\n", t.Name, t.Pixels, 100*t.Share)
		}
	}
	table.Flush()
	fmt.Fprintln(w)
	for _, file := range []struct {
		name string
		*request.File
	}{{"mask", r.Mask}, {"overlay", r.Overlay}} {
		if file.File != nil {
			fmt.Fprintf(w, "%-8s %s%s\n", file.name, output.Name(relative(file.Path)), output.Name(file.URI))
		}
	}
	if r.Image != nil {
		for _, doubt := range doubts(r.Image) {
			fmt.Fprintf(w, "%-8s %s\n", "doubt", doubt)
		}
	}
	showOrigin(w, r)
	return nil
}

// showOrigin prints how long it took and which model it was.
func showOrigin(w io.Writer, r request.Result) {
	if r.Timings != nil {
		fmt.Fprintf(w, "%-8s %.1f ms, of which %.1f ms in the network\n", "time", r.Timings.Total, r.Timings.Inference)
	}
	if r.Model != nil {
		fmt.Fprintf(w, "%-8s %s %s\n", "model", r.Model.Name, r.Model.Version)
	}
}

func colourTerminal(w io.Writer) bool {
	file := output.File(w)
	if file == nil || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" {
		return false
	}
	return os.Getenv("COLORTERM") != "" || strings.Contains(os.Getenv("TERM"), "color") || strings.Contains(os.Getenv("TERM"), "kitty")
}

// showPicture draws slice and mask from their files.
func showPicture(w io.Writer, image string, r request.Result) error {
	if r.Mask == nil || r.Mask.Path == "" {
		return errors.New("the mask is not on this device")
	}
	encoded, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	slice, _, err := imaging.Decode(encoded, imaging.Limits{})
	if err != nil {
		return err
	}
	if encoded, err = os.ReadFile(r.Mask.Path); err != nil {
		return err
	}
	classes, err := readMask(encoded)
	if err != nil {
		return fmt.Errorf("read the mask: %w", err)
	}
	palette := make(imaging.Palette, 256)
	for _, t := range r.Tissues {
		if rgb, err := strconv.ParseUint(strings.TrimPrefix(t.Colour, "#"), 16, 24); err == nil && t.Value != 0 {
			palette[t.Value] = color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
		}
	}
	return imaging.TerminalPicture(w, slice, classes, palette, 64)
}

// readMask returns the classes of a mask PNG, one a pixel, row by row.
func readMask(encoded []byte) ([]uint8, error) {
	grey, _, err := imaging.Decode(encoded, imaging.Limits{})
	if err != nil {
		return nil, err
	}
	if config, err := png.DecodeConfig(bytes.NewReader(encoded)); err != nil || config.ColorModel != color.GrayModel {
		return nil, errors.New("it is not 8-bit grey")
	}
	return grey.Pix, nil
}
