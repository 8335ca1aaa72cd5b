package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/memoryqueue"
	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
	"github.com/brainseg/brainseg/schemas"
)

const scanInputs = "../../volume/testdata/scans/inputs"

// levels is a model that takes the brightness of a pixel for its tissue. enter, if
// not nil, is called with the width of each slice.
type levels struct {
	enter   func(context.Context, int) error
	version string
}

func (l levels) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	if l.enter != nil {
		if err := l.enter(ctx, slice.Rect.Dx()); err != nil {
			return err
		}
	}
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return ctx.Err()
}

func (l levels) Manifest() *model.Manifest {
	return &model.Manifest{Name: "levels", Version: l.version, SHA256: strings.Repeat("0", 64), Classes: model.Tissues}
}

func (levels) Close() error { return nil }

// writeScan writes a scan of 24 voxels of 1 mm a side, brighter towards the front.
func writeScan(t *testing.T, path string) {
	t.Helper()
	const side = 24
	v := volume.Labels{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]uint8, v.Voxels())
	for i := range v.Values {
		v.Values[i] = uint8(10 * (i / side % side))
	}
	if err := report.WriteFile(path, func(w io.Writer) error { return nifti.WriteLabels(w, &v, nil) }); err != nil {
		t.Fatal(err)
	}
}

// startScans opens an engine over the odd scans. Its root is a copy, beside which
// there is a file that nobody may read.
func startScans(t *testing.T, enter func(context.Context, int) error, change ...func(*config.Config, *Deps)) *bench {
	return start(t, append(change, func(cfg *config.Config, d *Deps) {
		outer := t.TempDir()
		root := filepath.Join(outer, "root")
		for _, name := range []string{"d-gap-many", "linked"} {
			if err := os.CopyFS(filepath.Join(root, name), os.DirFS(filepath.Join(scanInputs, "d-gap-many"))); err != nil {
				t.Fatal(err)
			}
		}
		writeScan(t, filepath.Join(root, "small.nii.gz"))
		write(t, outer, "secret.dcm", []byte("x"))
		if err := os.Symlink("../../secret.dcm", filepath.Join(root, "linked", "more.dcm")); err != nil {
			t.Fatal(err)
		}
		cfg.Images.Roots = []string{root}
		d.OpenModel = func(_ context.Context, cfg config.Config, _ *zap.Logger) (Model, error) {
			return levels{enter, filepath.Base(cfg.Model.Path)}, nil
		}
	})...)
}

func scanOf(id, path string, kinds ...request.Kind) request.Request {
	return request.Request{ID: id, Image: request.Image{Path: path}, Scan: &request.Scan{Kinds: kinds}}
}

func TestAScanIsAnsweredWithItsVolumesAndFiles(t *testing.T) {
	b := startScans(t, nil)
	r := b.ask(t, scanOf("a/1", "small.nii.gz", request.KindReport, request.KindLabels))
	if r.Status != request.StatusSucceeded || r.Scan == nil || r.Mask != nil || r.Model.Name != "levels" || r.Timings.Total <= 0 {
		t.Fatalf("result %+v, error %+v", r, r.Error)
	}
	checkSchema(t, schemas.Result, r)
	var kinds []string
	for _, f := range r.Scan.Files {
		content, err := os.ReadFile(f.Path)
		sum := sha256.Sum256(content)
		if err != nil || hex.EncodeToString(sum[:]) != f.SHA256 || len(content) != f.Bytes || !strings.HasPrefix(f.Path, filepath.Join(b.out, "a%2F1.scan", "scan_")) {
			t.Errorf("file %+v: %d bytes, %v", f, len(content), err)
		}
		kinds = append(kinds, string(f.Kind))
	}
	if got := strings.Join(kinds, " "); got != "labels labels report labels" {
		t.Errorf("files of kinds %s", got)
	}
	if len(r.Scan.Tissues) != 3 || r.Scan.BrainMillilitres <= 0 || !slices.Contains(r.Scan.Quality.Flags, "not-a-head") || r.Scan.Grid.Orientation == "" {
		t.Errorf("scan %+v", r.Scan)
	}
	b.messages(t, "Image processed.")
	b.mu.Lock()
	defer b.mu.Unlock()
	last := 0.0
	for _, s := range b.statuses {
		checkSchema(t, schemas.Status, s)
		if s.Progress > 0 {
			if s.Progress <= last || s.Message != request.MessageScanInWork || s.Request != 1 {
				t.Errorf("status %+v after progress %v", s, last)
			}
			last = s.Progress
		}
	}
	if last != 1 {
		t.Errorf("the last progress is %v", last)
	}
}

func TestARefusedScanSaysWhy(t *testing.T) {
	b := startScans(t, nil)
	for _, tt := range []struct {
		name, path string
		kind       request.Kind
		code       request.Code
		reason     string
	}{
		{"a gap", "d-gap-many", request.KindLabels, request.CodeImageUnreadable, "missing-slices"},
		{"a SEG of NIfTI", "small.nii.gz", request.KindSEG, request.CodeImageUnreadable, "no-series"},
		{"no scan", "missing", request.KindLabels, request.CodeImageNotFound, ""},
		{"above the root", "../secret.dcm", request.KindLabels, request.CodeImageNotAllowed, ""},
		{"elsewhere", "/etc/hostname", request.KindLabels, request.CodeImageNotAllowed, ""},
		{"a link that leads out", "linked", request.KindLabels, request.CodeImageNotAllowed, ""},
		{"through that link", "linked/more.dcm", request.KindLabels, request.CodeImageNotAllowed, ""},
	} {
		r := b.ask(t, scanOf(tt.name, tt.path, tt.kind))
		checkSchema(t, schemas.Result, r)
		if r.Error == nil || r.Error.Code != tt.code || r.Error.Reason != tt.reason {
			t.Errorf("%s: %+v, error %+v", tt.name, r.Status, r.Error)
		}
	}
	b.messages(t, "Error: "+errNotAllowedText+".")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.statuses {
		if strings.Contains(s.Message, "IM0") {
			t.Errorf("everybody is told a file's name: %s", s.Message)
		}
	}
}

const errNotAllowedText = "read image: the scan, or a link in its folder, is outside the configured folders"

func TestAScanCanBeCalledOffWhetherItWaitsOrIsInWork(t *testing.T) {
	began := make(chan struct{}, 100)
	b := startScans(t, func(ctx context.Context, _ int) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	answers := make(chan request.Result, 10)
	submit := func(document string) {
		b.SubmitDocument(t.Context(), anybody, []byte(document), func(o job.Outcome) { o.Claim.Release(); answers <- o.Result })
	}
	for _, id := range []string{"first", "second"} {
		submit(fmt.Sprintf(`{"id":%q,"image":{"path":"small.nii.gz"},"output":{"kinds":["labels"]}}`, id))
	}
	<-began
	for end := time.Now().Add(time.Minute); b.lane.Waiting() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // until the second is there
	}
	for _, id := range []string{"second", "first", "first"} {
		submit(`{"id":"` + id + `","cancel":true}`)
		select {
		case r := <-answers:
			checkSchema(t, schemas.Result, r)
			if r.ID != id || r.Error == nil || r.Error.Code != request.CodeCancelled {
				t.Errorf("answer %+v, error %+v; want %s cancelled", r, r.Error, id)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s is not answered", id)
		}
	}
	if n := b.claims.Held(); n != 0 {
		t.Errorf("%d outputs are kept from others", n)
	}
}

func TestSlicesAreAnsweredWhileAScanIsInWork(t *testing.T) {
	inScan, goOn := make(chan struct{}, 1000), make(chan struct{})
	b := startScans(t, func(ctx context.Context, width int) error {
		if width == 300 { // no scan's slice is so wide
			return nil
		}
		inScan <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	scanned := make(chan request.Result, 1)
	b.Submit(t.Context(), anybody, scanOf("scan", "small.nii.gz", request.KindVolumes), func(o job.Outcome) { scanned <- o.Result })
	<-inScan
	for i := range 5 {
		if r := b.ask(t, request.Request{ID: fmt.Sprint(i), Image: request.Image{Inline: ramp(t, 300, 5)}}); r.Error != nil {
			t.Errorf("slice %d: %+v", i, r.Error)
		}
	}
	close(goOn)
	select {
	case r := <-scanned:
		if r.Error != nil || len(r.Scan.Files) != 1 {
			t.Errorf("scan: %+v, %+v", r, r.Error)
		}
	case <-time.After(time.Minute):
		t.Fatal("the scan is not answered")
	}
}

func TestScansThatWaitLeaveThePlacesOfSlicesAlone(t *testing.T) {
	inScan, goOn := make(chan struct{}, 1000), make(chan struct{})
	defer close(goOn)
	b := startScans(t, func(ctx context.Context, width int) error {
		if width == 300 { // no scan's slice is so wide
			return nil
		}
		inScan <- struct{}{}
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return ctx.Err()
	}, func(cfg *config.Config, _ *Deps) { cfg.Service.Queue = 2 })
	answers := make(chan request.Result, 4)
	for i := range 4 { // one in work, two that wait, and one too many
		if i == 1 {
			<-inScan
		}
		b.Submit(t.Context(), anybody, scanOf(fmt.Sprint("scan", i), "small.nii.gz", request.KindVolumes), func(o job.Outcome) { answers <- o.Result })
	}
	if r := <-answers; r.Error == nil || r.Error.Code != request.CodeBusy || r.ID != "scan3" {
		t.Errorf("answer %+v, error %+v", r, r.Error)
	}
	if r := b.ask(t, request.Request{ID: "slice", Image: request.Image{Inline: ramp(t, 300, 5)}}); r.Error != nil {
		t.Errorf("the slice: %+v", r.Error)
	}
}

func TestAScanInWorkIsAnsweredAtTheEnd(t *testing.T) {
	began := make(chan struct{}, 100)
	b := startScans(t, func(ctx context.Context, _ int) error {
		began <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	answers := make(chan request.Result, 2)
	for _, id := range []string{"a", "b"} {
		b.Submit(t.Context(), anybody, scanOf(id, "small.nii.gz", request.KindLabels), func(o job.Outcome) { answers <- o.Result })
	}
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Close(ctx)
	for range 2 {
		if r := <-answers; r.Error == nil || r.Error.Code != request.CodeStopping {
			t.Errorf("answer %+v, error %+v", r, r.Error)
		}
	}
}

func TestTheEndDoesNotWaitForAScanThatStaysOnDisk(t *testing.T) {
	inWork := make(chan int, 1000)
	goOn := make(chan struct{})
	b := startScans(t, func(ctx context.Context, width int) error {
		inWork <- width
		if width == 300 { // no scan's slice is so wide
			<-goOn
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}, func(cfg *config.Config, d *Deps) { cfg.Service.Workers, d.Queue = 1, memoryqueue.New(*cfg) })
	answers := make(chan request.Result, 2)
	submit := func(r request.Request) {
		b.Submit(t.Context(), anybody, r, func(o job.Outcome) { answers <- o.Result })
		<-inWork
	}
	submit(scanOf("scan", "small.nii.gz", request.KindLabels))
	submit(request.Request{ID: "slice", Image: request.Image{Inline: ramp(t, 300, 5)}})
	closed := make(chan error, 1)
	go func() { closed <- b.Close(t.Context()) }()
	for _, want := range []string{"scan", "slice"} {
		select {
		case r := <-answers:
			if r.ID != want || (r.Error != nil) != (want == "scan") || r.Error != nil && r.Error.Code != request.CodeStopping {
				t.Errorf("answer %+v, error %+v, want that of the %s", r, r.Error, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no answer to the %s", want)
		}
		if want == "scan" {
			close(goOn)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
