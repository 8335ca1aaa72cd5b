package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/segmentation"
)

type segmentFlags struct {
	out     string
	overlay bool
	model   string
	library string
	workers int
}

func segmentCommand() *cobra.Command {
	var f segmentFlags
	cmd := &cobra.Command{
		Use:     "segment --out DIR IMAGE...",
		Short:   "Segment images straight to files, without Greengrass",
		Long:    "Segment PNG and JPEG slices. The mask of IMAGE goes to DIR/<name>.png, its pixel values are the classes.\nThe exit code is 0 only if every image was segmented.",
		Example: "  brainseg segment --out out --overlay artifacts/samples/whole-head/*.png",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, images []string) error {
			if f.out == "" {
				return usageError{errors.New("--out DIR is required")}
			}
			return segment(cmd.Context(), f, images, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder for masks and overlays (required)")
	cmd.Flags().BoolVar(&f.overlay, "overlay", false, "also write DIR/<name>.overlay.png, the slice with the tissues in colour")
	cmd.Flags().StringVar(&f.model, "model", defaultModel(), "folder with model.onnx and manifest.json")
	cmd.Flags().StringVar(&f.library, "library", "", "path of libonnxruntime (default: beside the executable)")
	cmd.Flags().IntVar(&f.workers, "workers", runtime.NumCPU(), "images in work at the same time")
	return cmd
}

// task is one image and the name of its mask.
type task struct{ image, mask string }

// tasks names the masks, and refuses what would overwrite an image or a mask of
// the same run.
func tasks(out string, images []string) ([]task, error) {
	var list []task
	taken := make(map[string]string)
	for _, image := range images {
		base := filepath.Base(image)
		mask := strings.TrimSuffix(base, filepath.Ext(base)) + ".png"
		if other, ok := taken[mask]; ok {
			return nil, usageError{fmt.Errorf("%s and %s would both be written to %s", other, image, filepath.Join(out, mask))}
		}
		taken[mask] = image
		list = append(list, task{image, mask})
	}
	for _, image := range images {
		source, err := os.Stat(image)
		if err != nil {
			continue // told when its turn comes
		}
		for mask := range taken {
			if target, err := os.Stat(filepath.Join(out, mask)); err == nil && os.SameFile(source, target) {
				return nil, usageError{fmt.Errorf("%s would be overwritten by a mask; choose another --out", image)}
			}
		}
	}
	return list, nil
}

func segment(ctx context.Context, f segmentFlags, images []string, stdout, stderr io.Writer) error {
	list, err := tasks(f.out, images)
	if err != nil {
		return err
	}
	model, err := segmentation.Open(f.model, segmentation.Options{Library: f.library})
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer model.Close()

	// What the user named may be read: each image's own folder is a root.
	var roots []string
	seen := make(map[string]bool)
	for i, t := range list {
		if resolved, err := filepath.EvalSymlinks(t.image); err == nil {
			if absolute, err := filepath.Abs(resolved); err == nil {
				list[i].image = absolute
				if dir := filepath.Dir(absolute); !seen[dir] {
					seen[dir] = true
					roots = append(roots, dir)
				}
			}
		}
	}
	files, err := store.New(store.Options{InputRoots: roots, OutputRoot: f.out})
	if err != nil {
		return fmt.Errorf("open the folders: %w", err)
	}
	defer files.Close()
	workers := max(f.workers, 1)
	svc, err := engine.New(engine.Options{Model: model, Store: files, Workers: workers, Queue: 2 * workers})
	if err != nil {
		return err
	}
	defer svc.Close(context.WithoutCancel(ctx))

	var bar *progressbar.ProgressBar
	if file, ok := stderr.(*os.File); ok && len(list) > 1 && term.IsTerminal(int(file.Fd())) {
		bar = progressbar.NewOptions(len(list), progressbar.OptionSetWriter(file), progressbar.OptionSetDescription("segmenting"),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	done, failed := 0, 0
	for r := range inOrder(ctx, svc, list, f.overlay, workers) {
		if bar != nil {
			bar.Clear()
		}
		if r.Error != nil {
			failed++
			fmt.Fprintf(stderr, "brainseg: %s: %s\n", images[done], r.Error.Message)
		} else {
			fmt.Fprintln(stdout, summary(r))
		}
		done++
		if bar != nil {
			bar.Add(1)
		}
	}
	switch {
	case done < len(list):
		return fmt.Errorf("interrupted after %d of %d images", done, len(list))
	case failed > 0:
		return fmt.Errorf("%d of %d images failed", failed, len(list))
	}
	return nil
}

// inOrder has the tasks worked on, as many as there are workers at the same
// time, and yields their results in order. It ends early when ctx does.
func inOrder(ctx context.Context, svc *engine.Service, list []task, overlay bool, workers int) iter.Seq[request.Result] {
	return func(yield func(request.Result) bool) {
		var waiting []chan request.Result // of the tasks in work, the oldest first
		for len(list) > 0 || len(waiting) > 0 {
			if ctx.Err() != nil {
				return
			}
			for len(list) > 0 && len(waiting) <= workers {
				results := make(chan request.Result, 1)
				svc.Submit(request.Request{
					ID: list[0].mask, Image: request.Image{Path: list[0].image},
					Output: request.Output{To: list[0].mask, Overlay: overlay},
				}, func(o engine.Outcome) { results <- o.Result })
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
	fmt.Fprintf(&b, "%s  %dx%d", relative(r.Mask.Path), r.Image.Width, r.Image.Height)
	for _, t := range r.Tissues {
		if t.Value != 0 {
			fmt.Fprintf(&b, "  %s %.1f %%", t.Name, 100*t.Share)
		}
	}
	fmt.Fprintf(&b, "  %.1f ms", r.Timings.Total)
	return b.String()
}

// relative shortens a path below the current folder.
func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}
