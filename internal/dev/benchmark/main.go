// Command benchmark compares the component with other programs that do the same
// work: PNG slice in, mask PNG out, same network, same weights, same slices, one
// thread. All contestants are alive during the whole comparison and take turns
// of a few slices, so that whatever else the machine does hits all of them alike.
//
// run.sh builds the contestants and calls this program. It is no test: it
// measures, prints, and fails only where a contestant does or where the masks
// differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/brainseg/brainseg/internal/dev/benchmark/frameless"
	"github.com/brainseg/brainseg/internal/model"
)

// settings are the flags.
type settings struct {
	model, library, samples string
	component               string // the program bin/brainseg
	build                   string // where run.sh puts what it builds
	node, python            string // folders of this package
	work                    string // for slices and masks
	slices, rounds, starts  int
	turn                    int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == goContestantCommand {
		exit(goContestant(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == workersCommand {
		exit(compareWorkers(ctx, os.Args[2:]))
	}
	var s settings
	root := flag.String("root", ".", "the repository")
	flag.StringVar(&s.model, "model", "", "folder of the model (default artifacts/model)")
	flag.StringVar(&s.samples, "samples", "", "folder of PNG slices to vary (default artifacts/samples)")
	flag.StringVar(&s.component, "component", "", "the component's program (default bin/brainseg)")
	flag.StringVar(&s.work, "work", "", "folder for slices and masks (default: below /dev/shm, so that no disk is measured)")
	flag.IntVar(&s.slices, "slices", 200, "slices in a round")
	flag.IntVar(&s.turn, "turn", 10, "slices that a contestant gets one after the other before it is the next one's turn")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds over all slices")
	flag.IntVar(&s.starts, "starts", 5, "starts of each contestant, for the time to the first mask")
	flag.Parse()
	s.slices, s.rounds, s.starts, s.turn = max(s.slices, 1), max(s.rounds, 1), max(s.starts, 1), max(s.turn, 1)
	here := filepath.Join(*root, "internal", "dev", "benchmark")
	s.build, s.node, s.python = filepath.Join(here, ".build"), filepath.Join(here, "node"), filepath.Join(here, "python")
	s.library = filepath.Join(*root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	for path, standard := range map[*string]string{&s.model: "artifacts/model", &s.samples: "artifacts/samples", &s.component: "bin/brainseg"} {
		if *path == "" {
			*path = filepath.Join(*root, standard)
		}
	}
	exit(benchmark(ctx, s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func benchmark(ctx context.Context, s settings) error {
	for _, path := range []*string{&s.model, &s.library, &s.component, &s.build, &s.node, &s.python} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	work, err := workFolder(s.work)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	s.work = work

	manifest, err := model.ReadManifest(s.model)
	if err != nil {
		return err
	}
	if manifest.Frame != nil {
		to := filepath.Join(work, "frameless")
		if manifest, err = frameless.Write(*manifest, s.model, to); err != nil {
			return err
		}
		s.model = to
	}
	slices, err := writeSlices(s.samples, filepath.Join(work, "slices"), s.slices)
	if err != nil {
		return err
	}
	list, err := contestants(ctx, s, manifest)
	if err != nil {
		return err
	}
	defer func() {
		for _, c := range list {
			c.stop()
		}
	}()
	results, err := compare(ctx, s, list, slices)
	if err != nil {
		return err
	}
	results.print(os.Stdout, manifest, slices)
	return nil
}

// workFolder makes a folder below parent, by default in memory where there is
// such a file system.
func workFolder(parent string) (string, error) {
	if parent == "" {
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			parent = "/dev/shm"
		}
	}
	return os.MkdirTemp(parent, "brainseg-benchmark-")
}

// errUnsupportedModel: the contestants in C, JavaScript and Python know the one
// form of network that the project ships.
var errUnsupportedModel = errors.New("the benchmark needs a network with inputs image (uint8) and window, and output mask (uint8)")
