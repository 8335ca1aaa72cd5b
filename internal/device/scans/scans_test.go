package scans

import (
	"context"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

const inputs = "../../volume/testdata/scans/inputs/"

// levels is a network that takes the brightness of a pixel for its tissue.
type levels struct{ classes []model.Class }

func (levels) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return ctx.Err()
}

func (l levels) Manifest() *model.Manifest {
	return &model.Manifest{Name: "levels", Version: "1.0.0", Classes: l.classes}
}

// small writes a scan of 24 voxels of 1 mm a side, brighter towards the front.
func small(t *testing.T) string {
	t.Helper()
	const side = 24
	v := volume.Labels{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]uint8, v.Voxels())
	for i := range v.Values {
		v.Values[i] = uint8(10 * (i / side % side))
	}
	path := filepath.Join(t.TempDir(), "small.nii.gz")
	if err := report.WriteFile(path, func(w io.Writer) error { return nifti.WriteLabels(w, &v, nil) }); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAScanGetsTheResultsThatWereAskedFor(t *testing.T) {
	for _, tt := range []struct {
		name, scan string
		kinds      []Kind
		want       string
		refusal    volume.Code
	}{
		{"the usual", small(t), nil, "_dseg.label.txt _dseg.nii.gz _dseg.tsv _report.html _report.png _volumes.json", ""},
		{"figures alone", small(t), []Kind{Volumes}, "_volumes.json", ""},
		{"labels and SEG of a series", inputs + "d-enhanced-shuffled", []Kind{SEG, Labels}, "_dseg.label.txt _dseg.nii.gz _dseg.tsv _seg.dcm", ""},
		{"a SEG of no series", small(t), []Kind{SEG}, "", volume.CodeNoSeries},
		{"no scan", "missing", nil, "", volume.CodeNoImage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			told := 0
			r, err := Segment(t.Context(), tt.scan, levels{model.Tissues}, Options{Kinds: tt.kinds, Progress: func(done, total int) { told = done * 1000 / total }})
			var refusal *volume.Refusal
			if tt.refusal != "" {
				if !errors.As(err, &refusal) || refusal.Code != tt.refusal {
					t.Fatalf("error %v, want a refusal with %s", err, tt.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if told != 1000 || r.Report.BrainMillilitres == 0 {
				t.Errorf("%d of 1000 were told at the end, %v ml", told, r.Report.BrainMillilitres)
			}
			if err := r.WriteFolder(folder, "x"); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, strings.TrimPrefix(e.Name(), "x"))
				info, err := os.Stat(filepath.Join(folder, e.Name()))
				if err != nil || info.Size() == 0 {
					t.Errorf("%s is empty: %v", e.Name(), err)
				}
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("files %q, want %q", got, tt.want)
			}
			if files := r.Files("x"); slices.Contains(tt.kinds, Labels) && files[len(files)-1].Suffix != LabelsSuffix {
				t.Errorf("the label map is not the last that is written")
			}
		})
	}
}

// sure is levels with all of a pixel's score for its class.
type sure struct{ levels }

func (s sure) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	err := s.Segment(ctx, slice, mask)
	clear(scores)
	for i, class := range mask {
		if scores != nil {
			scores[int(class)*len(mask)+i] = 255
		}
	}
	return nil, err
}

func (s sure) Manifest() *model.Manifest {
	m := s.levels.Manifest()
	m.Scores = &model.ScoresOutput{}
	return m
}

func TestProbabilitiesAreWrittenOfAModelThatGivesScores(t *testing.T) {
	kinds := []Kind{Probabilities, Labels}
	if err := Check(kinds, levels{model.Tissues}.Manifest()); err == nil || !strings.HasPrefix(err.Error(), "probabilities: ") {
		t.Errorf("a model without scores: error %v", err)
	}
	network := sure{levels{model.Tissues}}
	if err := Check(kinds, network.Manifest()); err != nil {
		t.Error(err)
	}
	scan := small(t)
	r, err := Segment(t.Context(), scan, network, Options{Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := r.WriteFolder(folder, "x"); err != nil {
		t.Fatal(err)
	}
	for class := range 4 {
		v, _, err := nifti.Read(t.Context(), filepath.Join(folder, "x"+ProbabilitiesSuffix), volume.Options{Volume: class + 1})
		if err != nil {
			t.Fatal(err)
		}
		for i, label := range r.input.Labels.Values {
			if likely := v.Values[i] > 0.99; likely != (int(label) == class) {
				t.Fatalf("voxel %d of class %d has the probability %v of class %d", i, label, v.Values[i], class)
			}
		}
	}
	names, err := os.ReadFile(filepath.Join(folder, "x_probseg.json"))
	if err != nil || !strings.Contains(string(names), `"grey-matter"`) {
		t.Errorf("names %s, error %v", names, err)
	}
}

func TestAnEndedContextEndsTheWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Segment(ctx, small(t), levels{model.Tissues}, Options{Workers: 1, Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWhatAModelCannotGiveIsToldBeforeAnythingIsRead(t *testing.T) {
	other := levels{[]model.Class{{Value: 0, Name: "outside"}, {Value: 1, Name: "inside"}}}.Manifest()
	if err := Check(Usual, other); err != nil {
		t.Error(err)
	}
	if err := Check(request.Kinds, other); err == nil || !strings.HasPrefix(err.Error(), "seg: ") {
		t.Errorf("error %v", err)
	}
	if err := Check([]Kind{"sticks"}, other); err == nil || !strings.Contains(err.Error(), `"sticks"`) {
		t.Errorf("error %v", err)
	}
}
