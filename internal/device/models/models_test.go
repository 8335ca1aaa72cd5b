package models

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a folder of models and a link to one of them, as a deployment leaves it.
type shelf struct {
	t   testing.TB
	dir string
}

func (s shelf) link() string { return filepath.Join(s.dir, "current") }

// source is the folder of one of the small models: values or threshold.
func source(name string) string {
	return filepath.Join("..", "..", "segmentation", "testdata", "models", name)
}

// put makes a model out of a small one, under another version.
func (s shelf) put(from, version string, change ...func(*model.Manifest)) string {
	s.t.Helper()
	folder := filepath.Join(s.dir, version)
	if err := os.CopyFS(folder, os.DirFS(source(from))); err != nil {
		s.t.Fatal(err)
	}
	manifest, err := model.ReadManifest(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	manifest.Name, manifest.Version = "m", version
	for _, c := range change {
		c(manifest)
	}
	document, err := json.Marshal(manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(version, model.ManifestName, document)
	return folder
}

func (s shelf) write(version, name string, content []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, version, name), content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// set has the link lead to a folder, at once.
func (s shelf) set(version string) {
	s.t.Helper()
	next := s.link() + ".new"
	if err := errors.Join(os.Symlink(version, next), os.Rename(next, s.link())); err != nil {
		s.t.Fatal(err)
	}
}

// bench is a Models that watches the link of a shelf, and what it told.
type bench struct {
	*Models
	shelf
	canary int
	opened atomic.Int32 // models in memory
	most   atomic.Int32 // at the same time

	mu   sync.Mutex
	told []string // guarded by mu
}

// counted counts the models in memory.
type counted struct {
	Model
	b *bench
}

func (c counted) Close() error {
	c.b.opened.Add(-1)
	return c.Model.Close()
}

// start begins with version 1, and open in place of Open if that is not nil.
func start(t testing.TB, canary int, open func(context.Context, config.Config, *zap.Logger) (Model, error)) *bench {
	t.Helper()
	b := &bench{shelf: shelf{t: t, dir: t.TempDir()}, canary: canary}
	if open == nil {
		open = Open
	}
	b.put("values", "1")
	b.set("1")
	var err error
	b.Models, err = New(t.Context(), b.config(b.link()), Options{
		Open: func(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
			m, err := open(ctx, cfg, logger)
			if err != nil {
				return nil, err
			}
			now := b.opened.Add(1)
			for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
			}
			return counted{m, b}, nil
		},
		Tell: func(message string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, message)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		if n := b.opened.Load(); n != 0 {
			t.Errorf("%d models are not closed", n)
		}
		if most := b.most.Load(); most > maxModels {
			t.Errorf("%d models were in memory", most)
		}
	})
	b.Watch(3 * time.Millisecond)
	return b
}

func (b *bench) config(path string) config.Config {
	cfg := config.Default()
	cfg.Model = config.Model{
		Path: path, Canary: b.canary,
		Library: filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	}
	return cfg
}

// until waits for a condition.
func (b *bench) until(what string, condition func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("in vain: %s; told: %q; %+v", what, b.messages(), b.Health())
		}
	}
}

func (b *bench) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.told...)
}

func (b *bench) awaitVersion(version string) {
	b.t.Helper()
	b.until("version "+version+" is in use", func() bool { return b.Identity().Version == version })
}

func (b *bench) awaitRefused(n uint64) {
	b.t.Helper()
	b.until("a model is refused", func() bool { return b.Health().Refused == n })
}

// segment has a slice of grey value 40 segmented by the model in use.
func (b *bench) segment() (class uint8) {
	b.t.Helper()
	lease := b.Use()
	defer lease.Release()
	slice := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range slice.Pix {
		slice.Pix[i] = 40
	}
	mask := make([]uint8, len(slice.Pix))
	if err := lease.Network.Segment(b.t.Context(), slice, mask); err != nil {
		b.t.Fatal(err)
	}
	return mask[0]
}

func TestTheModelToWhichTheLinkLeadsTakesOver(t *testing.T) {
	b := start(t, 0, nil)
	lease := b.Use()
	b.put("values", "2")
	b.set("2")
	b.awaitVersion("2")
	b.until("it is told", func() bool { return len(b.messages()) > 0 })
	if got := strings.Join(b.messages(), " "); got != "Model loaded." {
		t.Errorf("told: %q", got)
	}
	if lease.Identity.Version != "1" || lease.Network.Manifest().Version != "1" || b.opened.Load() != 2 {
		t.Errorf("a request in work has %+v, and %d models are open", lease.Identity, b.opened.Load())
	}
	lease.Release()
	if n := b.opened.Load(); n != 1 {
		t.Errorf("%d models are open once the request is done", n)
	}
	if h := b.Health(); h.Loaded != 1 || h.Refused != 0 || h.Trial != nil {
		t.Errorf("health: %+v", h)
	}
}

func TestAModelThatCannotBeUsedIsRefusedAndToldOnceAndTheOneBeforeStays(t *testing.T) {
	b := start(t, 0, nil)
	b.put("values", "sum", func(m *model.Manifest) { m.SHA256 = strings.Repeat("0", 64) })
	b.put("values", "other", func(m *model.Manifest) { m.Input.Name = "picture" })
	b.write(filepath.Base(b.put("values", "empty")), model.ManifestName, nil)
	b.put("values", "test")
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	b.write("test", model.SelfTestSliceName, picture.Bytes())
	picture.Reset()
	if err := imaging.EncodeMask(&picture, bytes.Repeat([]byte{1}, 64), 8, 8); err != nil {
		t.Fatal(err)
	}
	b.write("test", model.SelfTestMaskName, picture.Bytes())
	for i, tt := range []struct{ version, told string }{
		{"sum", model.ErrChecksum.Error()}, {"other", model.ErrNetwork.Error()}, {"empty", model.ErrManifest.Error()},
		{"nowhere", model.ErrManifest.Error()}, {"test", "self-test"},
	} {
		b.set(tt.version)
		b.awaitRefused(uint64(i + 1))
		b.until("it is told", func() bool { return len(b.messages()) == i+1 })
		if last := b.messages()[i]; !strings.HasPrefix(last, "Error: the new model is refused and the one before stays in use: ") || !strings.Contains(last, tt.told) || strings.Contains(last, b.dir) {
			t.Errorf("%s: told %q", tt.version, last)
		}
		if b.Identity().Version != "1" || b.segment() != 1 {
			t.Errorf("%s: in use is %+v", tt.version, b.Identity())
		}
	}
	b.set("1") // what is in use anyhow
	b.put("values", "2")
	b.set("2")
	b.awaitVersion("2")
	if h := b.Health(); h.Refused != 5 || h.Loaded != 1 {
		t.Errorf("health: %+v", h)
	}
}

func TestAModelOfWhichHalfWasThereIsTakenWhenItIsWhole(t *testing.T) {
	b := start(t, 0, nil)
	network, err := os.ReadFile(filepath.Join(source("threshold"), "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	folder := b.put("threshold", "2")
	for _, half := range [][]byte{network[:len(network)/2], append(network[:len(network):len(network)], 0), nil} {
		b.write("2", "model.onnx", half)
		before := b.Health().Refused
		if half == nil {
			if err := os.Remove(filepath.Join(folder, "model.onnx")); err != nil {
				t.Fatal(err)
			}
		}
		b.set("2")
		b.awaitRefused(before + 1)
	}
	b.write("2", "model.onnx", network)
	b.awaitVersion("2")
	if h := b.Health(); h.Loaded != 1 {
		t.Errorf("health: %+v", h)
	}
}

func TestAModelThatHangsInItsSelfTestHoldsUpNeitherRequestsNorTheEnd(t *testing.T) {
	t.Parallel()
	hangs, free := make(chan struct{}), make(chan struct{})
	b := start(t, 0, func(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
		if filepath.Base(cfg.Model.Path) == "2" {
			close(hangs)
			<-free
		}
		return Open(context.WithoutCancel(ctx), cfg, logger)
	})
	b.put("values", "2")
	b.set("2")
	<-hangs
	if b.segment() != 1 || b.Identity().Version != "1" {
		t.Errorf("%+v is in use", b.Identity())
	}
	b.Close()
	if n := b.opened.Load(); n != 0 {
		t.Errorf("%d models are open after the end", n)
	}
	close(free)
	b.until("the model is let go of when it comes back", func() bool { return len(b.room) == 0 })
}

func TestNoMoreModelsAreInMemoryThanThreeHoweverLongRequestsTake(t *testing.T) {
	b := start(t, 0, nil)
	first := b.Use()
	b.put("values", "2")
	b.set("2")
	b.awaitVersion("2")
	second := b.Use()
	b.put("values", "3")
	b.set("3")
	b.awaitVersion("3")
	b.put("values", "4")
	b.set("4")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := b.Prepare(ctx, b.config(filepath.Join(b.dir, "4"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fourth model: %v", err)
	}
	if v := b.Identity().Version; v != "3" || b.opened.Load() != 3 {
		t.Errorf("version %s is in use, %d models are open", v, b.opened.Load())
	}
	first.Release()
	b.awaitVersion("4")
	second.Release()
}

func TestAnotherConfigurationHasItsModelTakeOverOrChangesNothing(t *testing.T) {
	b := start(t, 0, nil)
	other := b.put("threshold", "2")
	if _, _, err := b.Prepare(t.Context(), b.config("/nowhere")); !errors.Is(err, model.ErrManifest) || Summary(err) != model.ErrManifest.Error() {
		t.Errorf("no model: %v", err)
	}
	_, abort, err := b.Prepare(t.Context(), b.config(other))
	if err != nil {
		t.Fatal(err)
	}
	abort()
	if n := b.opened.Load(); n != 1 || b.Identity().Version != "1" {
		t.Errorf("%d models are open, %+v is in use", n, b.Identity())
	}
	commit, _, err := b.Prepare(t.Context(), b.config(other))
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if n := b.opened.Load(); n != 1 || b.Identity().Version != "2" {
		t.Errorf("%d models are open, %+v is in use", n, b.Identity())
	}
	b.put("values", "3")
	b.set("3") // nobody looks there any more
	if err := os.Rename(other, other+"-gone"); err != nil {
		t.Fatal(err)
	}
	b.awaitRefused(2) // the one that is watched now has gone
	b.until("one model is loaded", func() bool { return b.Health().Loaded == 1 })
	if b.Identity().Version != "2" {
		t.Errorf("%+v is in use", b.Identity())
	}
}
