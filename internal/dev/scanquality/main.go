// Command scanquality measures whether the quality of a segmented scan tells good
// results from bad ones, and whether the volumes are stable. It spoils scans with
// labels in known ways, has them segmented by the shipped model, and compares the
// score with the Dice that came out; and it shifts, turns and re-noises them, and
// compares the volumes.
//
// It is for developers, and takes minutes to hours. The scans are no part of the
// repository: a folder with NAME_T1w.nii.gz and NAME_seg.nii.gz of the same grid.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/scan"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scanquality:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var b bench
	folders := flag.String("scans", "", "folders with NAME_T1w.nii.gz and NAME_seg.nii.gz, separated by commas")
	names := flag.String("names", "", "scans as FOLDER/NAME, separated by commas (default: all)")
	count := flag.Int("count", 100, "spoilt scans")
	others := flag.Int("things", -1, "things that are no brain (default: half of count)")
	stable := flag.Bool("stability", false, "measure the stability of volumes instead")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	flag.StringVar(&b.cache, "cache", "", "folder in which label maps are kept, so that a changed score needs no network")
	modelPath := flag.String("model", filepath.Join("artifacts", "model"), "folder of the model")
	library := flag.String("library", filepath.Join("artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"), "path of libonnxruntime")
	flag.Parse()
	heads, err := find(*folders, *names)
	if err != nil {
		return err
	}
	if b.network, err = segmentation.Open(*modelPath, segmentation.Options{Library: *library}); err != nil {
		return err
	}
	defer b.network.Close()
	if b.cache != "" {
		b.cache = filepath.Join(b.cache, b.network.Manifest().SHA256)
		if err := os.MkdirAll(b.cache, 0o750); err != nil {
			return err
		}
	}
	if *stable {
		return b.stability(ctx, heads)
	}
	if *others < 0 {
		*others = *count / 2
	}
	return b.quality(ctx, heads, *count, *others, *seed)
}

// find lists the scans by the beginnings of their paths.
func find(folders, names string) ([]string, error) {
	var heads []string
	for _, folder := range strings.Split(folders, ",") {
		paths, err := filepath.Glob(filepath.Join(folder, "*_T1w.nii.gz"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			stem := strings.TrimSuffix(path, "_T1w.nii.gz")
			whole := filepath.Base(folder) + "/" + filepath.Base(stem)
			if names == "" || strings.Contains(","+names+",", ","+whole+",") {
				heads = append(heads, stem)
			}
		}
	}
	if len(heads) == 0 {
		return nil, errors.New("there are no scans: --scans names folders with NAME_T1w.nii.gz and NAME_seg.nii.gz")
	}
	return heads, nil
}

type bench struct {
	network *segmentation.Model
	cache   string
}

// head is a scan with its labels.
type head struct {
	name  string
	scan  *volume.Volume
	truth []uint8
}

func readHead(ctx context.Context, stem string) (*head, error) {
	s, _, err := scan.Read(ctx, stem+"_T1w.nii.gz", volume.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stem, err)
	}
	l, _, err := scan.Read(ctx, stem+"_seg.nii.gz", volume.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stem, err)
	}
	if l.Size != s.Size {
		return nil, fmt.Errorf("%s: scan of %v with labels of %v", stem, s.Size, l.Size)
	}
	h := &head{name: filepath.Base(filepath.Dir(stem)) + "-" + filepath.Base(stem), scan: &s.Volume, truth: make([]uint8, len(l.Values))}
	for i, v := range l.Values {
		h.truth[i] = uint8(v)
	}
	return h, nil
}

// segment segments a scan, or takes what is kept of it, and makes its report.
func (b *bench) segment(ctx context.Context, key string, v *volume.Volume) (report.Report, []uint8, error) {
	m := b.network.Manifest()
	r, kept := b.load(key, v)
	if !kept {
		var err error
		r, err = threeplane.Segment(ctx, v, segmentation.Scorer{Segmenter: b.network}, threeplane.Options{Classes: len(m.Classes), Scored: m.Scores != nil})
		if errors.Is(err, threeplane.ErrEmpty) {
			r, err = &threeplane.Result{Labels: volume.Labels{Grid: v.Grid, Values: make([]uint8, v.Voxels())}, Planes: volume.Planes, Agreement: 1, Confidence: math.NaN(), Known: math.NaN()}, nil
		}
		if err != nil {
			return report.Report{}, nil, err
		}
		if err := b.store(key, r); err != nil {
			return report.Report{}, nil, err
		}
	}
	in := report.Input{Scan: v, Labels: r.Labels, Planes: r.Planes, Slices: r.Slices, Agreement: r.Agreement, Confidence: r.Confidence, Known: r.Known, Thick: r.Thick}
	for _, c := range m.Classes {
		in.Classes = append(in.Classes, report.Class{Value: c.Value, Name: c.Name, Colour: c.Colour})
	}
	return report.Make(in), r.Labels.Values, nil
}

// quality spoils scans and prints a line for each, and then how well the score
// tells them apart.
func (b *bench) quality(ctx context.Context, stems []string, count, others int, seed uint64) error {
	var results []outcome
	start := time.Now()
	fmt.Println(heading)
	for i := range count {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		h, err := readHead(ctx, stems[i%len(stems)])
		if err != nil {
			return err
		}
		way := spoils[(i/len(stems))%len(spoils)]
		strength := random.Float64()
		v := way.spoil(h, strength, random)
		key := fmt.Sprintf("%d-%s-%s-%d", seed, h.name, way.name, i)
		r, labels, err := b.segment(ctx, key, v)
		if err != nil {
			return err
		}
		o := outcome{name: key, way: way.name, strength: strength, brain: true, dice: meanDice(labels, h.truth), quality: r.Quality}
		results = append(results, o)
		fmt.Println(o)
	}
	for i := range others {
		random := rand.New(rand.NewPCG(seed, uint64(i)|1<<32))
		thing := things[i%len(things)]
		key := fmt.Sprintf("%d-%s-%d", seed, thing.name, i)
		h, err := readHead(ctx, stems[i%len(stems)])
		if err != nil {
			return err
		}
		r, _, err := b.segment(ctx, key, thing.make(h, random))
		if err != nil {
			return err
		}
		o := outcome{name: key, way: thing.name, quality: r.Quality}
		results = append(results, o)
		fmt.Println(o)
	}
	fmt.Printf("\n%s\n%.0f s\n", summary(results), time.Since(start).Seconds())
	return nil
}
