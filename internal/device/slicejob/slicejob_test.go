package slicejob

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is a job of a black slice for one of the small models. Its results are
// written nowhere; done receives what Done is told.
func start(t *testing.T, side int, output request.Output) (j Job, done chan bool) {
	t.Helper()
	network, err := segmentation.Open(filepath.Join("..", "..", "segmentation", "testdata", "models", "values"), segmentation.Options{
		Library: filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	done = make(chan bool, 2)
	return Job{
		Request: request.Request{ID: "a", Output: output}, Image: file.Bytes(), Accepted: time.Now(),
		Network: network, Palette: network.Manifest().Palette(),
		Limits: imaging.Limits{MaxBytes: 1 << 20, MaxPixels: 1 << 24},
		Write: func(_ context.Context, to string, data []byte) (*request.File, error) {
			return &request.File{Path: to, Bytes: len(data)}, nil
		},
		Done: func(left bool) { done <- left },
	}, done
}

func TestLargeImagesDoNotKeepTheirBuffers(t *testing.T) {
	j, _ := start(t, 1050, request.Output{Discard: true})
	w := NewWorker(new(Writes))
	if _, err := w.Run(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	w.Trim()
	if cap(w.classes) > 0 {
		t.Errorf("a buffer of %d pixels is kept", cap(w.classes))
	}
}

func TestAMaskIsToldThoughItsOverlayHangs(t *testing.T) {
	j, done := start(t, 12, request.Output{Overlay: true, Inline: true})
	var mask []byte
	back := make(chan struct{})
	write := j.Write
	j.Write = func(ctx context.Context, to string, data []byte) (*request.File, error) {
		if strings.HasSuffix(to, ".overlay.png") {
			<-back
		} else {
			mask = bytes.Clone(data)
		}
		return write(ctx, to, data)
	}
	writes := &Writes{lost: 1} // so this one is not waited for long
	o, err := NewWorker(writes).Run(t.Context(), j)
	if r := o.Result; !errors.Is(err, ErrLeft) || r.Error == nil || r.Error.Code != request.CodeStorageUnavailable || r.Mask == nil || r.Overlay != nil {
		t.Fatalf("result %+v, error %v", r, err)
	}
	if !bytes.Equal(mask, o.Result.Mask.Base64) || len(mask) == 0 {
		t.Errorf("a mask of %d bytes is told, and one of %d is written", len(o.Result.Mask.Base64), len(mask))
	}
	if writes.Stuck() != 2 || len(done) > 0 {
		t.Errorf("%d writes are counted, want 2; the job is done with: %t", writes.Stuck(), len(done) > 0)
	}
	close(back)
	if left := <-done; !left {
		t.Error("it is not told that the job was left behind")
	}
	for end := time.Now().Add(time.Minute); writes.Stuck() > 1 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if writes.Stuck() != 1 || len(done) > 0 {
		t.Errorf("%d writes are counted, want 1; told again: %t", writes.Stuck(), len(done) > 0)
	}
}

func TestAStorageThatStaysDeadIsNotWrittenToWithoutEnd(t *testing.T) {
	j, done := start(t, 12, request.Output{})
	j.Write = func(context.Context, string, []byte) (*request.File, error) {
		t.Error("it is written to")
		return nil, nil
	}
	_, err := NewWorker(&Writes{lost: maxLost}).Run(t.Context(), j)
	if !errors.Is(err, failure.ErrNotWritten) || errors.Is(err, ErrLeft) {
		t.Errorf("error %v", err)
	}
	if left := <-done; left {
		t.Error("the job is left behind")
	}
}

func TestAPanicIsAnErrorAndTheJobIsDoneWith(t *testing.T) {
	j, done := start(t, 12, request.Output{})
	j.Network = faulty{j.Network}
	if o, err := NewWorker(new(Writes)).Run(t.Context(), j); err == nil || o.Result.ID != "" {
		t.Errorf("result %+v, error %v", o.Result, err)
	}
	if left := <-done; left {
		t.Error("the job is left behind")
	}
}

type faulty struct{ Network }

func (faulty) Segment(context.Context, *image.Gray, []uint8) error { panic("a fault of the program") }
