// Package files has the commands that segment straight to files, without Greengrass:
// segment for slices, by an engine of its own, and volume for whole scans.
//
// It keeps nothing that would outlive the process but the results. Package cli calls it.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/output"
	"github.com/brainseg/brainseg/internal/progress"
)

type segmentFlags struct {
	out     string
	overlay bool
	model   string
	library string
	workers int
	spacing []float64
}

// SegmentCommand segments slices.
func SegmentCommand() *cobra.Command {
	var f segmentFlags
	cmd := &cobra.Command{
		Use:   "segment --out DIR IMAGE...",
		Short: "Segment images straight to files, without Greengrass",
		Long: "Segment PNG and JPEG slices. The mask of IMAGE goes to DIR/<name>.png, its pixel values are the classes.\n" +
			"Earlier masks are replaced, and no other files.\nThe exit code is 0 only if every image was segmented.",
		Example: "  brainseg segment --out out --overlay artifacts/samples/whole-head/*.png",
		Args:    command.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, images []string) error {
			if f.out == "" {
				return command.Misused(errors.New("--out DIR is required"))
			}
			return segment(cmd.Context(), f, images, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder for masks and overlays (required)")
	cmd.Flags().BoolVar(&f.overlay, "overlay", false, "also write DIR/<name>.overlay.png, the slice with the tissues in colour")
	command.ModelFlags(cmd.Flags(), &f.model, &f.library)
	cmd.Flags().IntVar(&f.workers, "workers", runtime.NumCPU(), "images in work at the same time")
	command.SpacingFlag(cmd.Flags(), &f.spacing)
	return cmd
}

func segment(ctx context.Context, f segmentFlags, images []string, stdout, stderr io.Writer) error {
	mm, err := command.Spacing(f.spacing)
	if err != nil {
		return err
	}
	p, err := newPlan(f.out, images, f.overlay, os.Stat)
	if err != nil {
		return err
	}
	cfg := config.Default()
	cfg.Model = config.Model{Path: f.model, Library: f.library}
	cfg.Images.Roots, cfg.Output.Root = p.roots, f.out
	cfg.Service.Workers = max(f.workers, 1)
	cfg.Service.Queue = 2 * cfg.Service.Workers
	e, err := engine.Open(ctx, cfg, engine.Deps{})
	if err != nil {
		return err
	}
	defer e.Close(context.WithoutCancel(ctx))

	display := progress.New(stdout, stderr)
	stdout, stderr = display.Out(), display.Messages()
	bar := display.Begin()
	defer bar.End()
	bar.Count("segmenting", 0, len(p.tasks))
	done, failed := 0, 0
	for r := range inOrder(ctx, e, p.tasks, mm, f.overlay, cfg.Service.Workers) {
		if r.Error != nil {
			failed++
			fmt.Fprintf(stderr, "brainseg: %s: %s\n", output.Name(images[done]), r.Error.Message)
		} else {
			fmt.Fprintln(stdout, summary(r))
		}
		done++
		bar.Count("segmenting", done, len(p.tasks))
	}
	switch {
	case done < len(p.tasks):
		return fmt.Errorf("interrupted after %d of %d images", done, len(p.tasks))
	case failed > 0:
		return fmt.Errorf("%d of %d images failed", failed, len(p.tasks))
	}
	return nil
}

// inOrder has the tasks worked on, as many as there are workers at the same
// time, and yields their results in order. It ends early when ctx does.
func inOrder(ctx context.Context, e *engine.Engine, list []task, mm [2]float64, overlay bool, workers int) iter.Seq[request.Result] {
	return func(yield func(request.Result) bool) {
		var waiting []chan request.Result // of the tasks in work, the oldest first
		for len(list) > 0 || len(waiting) > 0 {
			if ctx.Err() != nil {
				return
			}
			for len(list) > 0 && len(waiting) <= workers {
				results := make(chan request.Result, 1)
				if t := list[0]; t.problem != nil {
					results <- request.Failed(t.mask, request.NewError(request.CodeImageNotFound, t.problem.Error(), nil))
				} else {
					e.Submit(ctx, job.Requester{Way: job.WayCommand}, request.Request{
						ID: t.mask, Image: request.Image{Path: t.image, SpacingMM: mm},
						Output: request.Output{To: t.mask, Overlay: overlay},
					}, func(o job.Outcome) { o.Claim.Release(); results <- o.Result })
				}
				list, waiting = list[1:], append(waiting, results)
			}
			result := <-waiting[0]
			waiting = waiting[1:]
			if !yield(result) {
				return
			}
		}
	}
}

// summary is a line about a mask: where it is, and the tissues' shares.
func summary(r request.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %dx%d", output.Name(command.Relative(r.Mask.Path)), r.Image.Width, r.Image.Height)
	for _, t := range r.Tissues {
		if t.Value != 0 {
			fmt.Fprintf(&b, "  %s %.1f %%", t.Name, 100*t.Share)
		}
	}
	fmt.Fprintf(&b, "  %.1f ms", r.Timings.Total)
	for _, doubt := range command.Doubts(r.Image) {
		fmt.Fprintf(&b, "  (%s)", doubt)
	}
	return b.String()
}
