package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/imagestore"
	"github.com/brainseg/brainseg/internal/request"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/service"
)

type segmentFlags struct {
	out     string
	overlay bool
	model   string
	library string
	threads int
}

func segmentCommand() *cobra.Command {
	var f segmentFlags
	cmd := &cobra.Command{
		Use:     "segment --out DIR IMAGE...",
		Short:   "Segment images straight to files, without Greengrass",
		Long:    "Segment PNG and JPEG slices. The mask of IMAGE goes to DIR/<name>.png, its pixel values are the classes.\nThe exit code is 0 only if every image was segmented.",
		Example: "  brainseg segment --out out --overlay artifacts/samples/*.png",
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
	cmd.Flags().IntVar(&f.threads, "threads", 1, "threads for one segmentation")
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
	model, err := segmentation.Open(f.model, segmentation.Options{Library: f.library, Threads: f.threads})
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
	store, err := imagestore.New(imagestore.Options{InputRoots: roots, OutputRoot: f.out})
	if err != nil {
		return fmt.Errorf("open the folders: %w", err)
	}
	defer store.Close()
	svc, err := service.New(service.Options{Model: model, Store: store})
	if err != nil {
		return err
	}
	defer svc.Close(ctx)

	var bar *progressbar.ProgressBar
	if file, ok := stderr.(*os.File); ok && len(list) > 1 && term.IsTerminal(int(file.Fd())) {
		bar = progressbar.NewOptions(len(list), progressbar.OptionSetWriter(file), progressbar.OptionSetDescription("segmenting"),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	failed := 0
	for i, t := range list {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %d of %d images", i, len(list))
		}
		results := make(chan request.Result, 1)
		svc.Submit(request.Request{
			ID: t.mask, Image: request.Image{Path: t.image},
			Output: request.Output{To: t.mask, Overlay: f.overlay},
		}, func(o service.Outcome) { results <- o.Result })
		r := <-results
		if bar != nil {
			bar.Clear()
		}
		if r.Error != nil {
			failed++
			fmt.Fprintf(stderr, "brainseg: %s: %s\n", images[i], r.Error.Message)
		} else {
			fmt.Fprintln(stdout, summary(r))
		}
		if bar != nil {
			bar.Add(1)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d images failed", failed, len(list))
	}
	return nil
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
