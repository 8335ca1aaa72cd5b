package dicomservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
)

var root = filepath.Join("..", "..", "..")

// archive is a node to which results go.
type archive struct {
	address string

	mu     sync.Mutex
	stored []string // SOP instances
}

func (a *archive) Store(_ context.Context, r dicomnet.StoreRequest, data io.Reader) dicomnet.Status {
	if _, err := io.Copy(io.Discard, data); err != nil || !slices.Contains(resultClasses, r.SOPClass) {
		return dicomnet.CannotUnderstand
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stored = append(a.stored, r.SOPInstance)
	return dicomnet.Success
}

func (a *archive) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.stored)
}

// resultClasses are those of SEG, Secondary Capture and Structured Report.
var resultClasses = []string{"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.7.4", "1.2.840.10008.5.1.4.1.1.88.22"}

func startArchive(t *testing.T) *archive {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{address: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := dicomnet.Server{Title: "PACS", SOPClasses: resultClasses, TransferSyntaxes: []string{dicomtest.Syntax, "1.2.840.10008.1.2.5"}, Storer: a}
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return a
}

// component is an engine with a service, without a nucleus.
type component struct {
	cfg     config.Config
	engine  *engine.Engine
	service *Service
	log     *observer.ObservedLogs
	states  chan request.Status
	stop    func()
}

// configuration is one with a node that returns to an archive.
func configuration(t *testing.T, a *archive) config.Config {
	t.Helper()
	library, err := filepath.Abs(filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, dir := config.Default(), t.TempDir()
	cfg.Model.Path, cfg.Model.Library = dicomtest.TissueModel(t, root), library
	cfg.Images.Roots, cfg.Output.Root, cfg.Queue.Folder = []string{filepath.Join(dir, "images")}, filepath.Join(dir, "masks"), filepath.Join(dir, "queue")
	if err := os.MkdirAll(cfg.Images.Roots[0], 0o750); err != nil {
		t.Fatal(err)
	}
	cfg.DICOM.Listen, cfg.DICOM.Folder, cfg.DICOM.Quiet = "127.0.0.1:0", filepath.Join(dir, "dicom"), 50*time.Millisecond
	cfg.DICOM.Return = "PACS@" + a.address
	return cfg
}

func start(t *testing.T, cfg config.Config) *component {
	t.Helper()
	core, log := observer.New(zap.DebugLevel)
	c := &component{cfg: cfg, log: log, states: make(chan request.Status, 1000)}
	disk, err := diskqueue.Open(t.Context(), diskqueue.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	if c.engine, err = engine.Open(t.Context(), cfg, engine.Deps{Queue: disk, Logger: zap.New(core), Status: func(s request.Status) { c.states <- s }}); err != nil {
		t.Fatal(err)
	}
	c.service = New(c.engine, zap.New(core))
	if err := c.engine.Attach(t.Context(), c.service); err != nil {
		t.Fatal(err)
	}
	c.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for what, err := range map[string]error{"service": c.service.Close(ctx), "engine": c.engine.Close(ctx), "queue": disk.Close(ctx)} {
			if err != nil {
				t.Errorf("the %s closes with %v", what, err)
			}
		}
	})
	t.Cleanup(c.stop)
	return c
}

// call asks for an association, again where a node that ends had taken the call.
func (c *component) call(t *testing.T, title string) (*dicomnet.Association, error) {
	t.Helper()
	r := dicomnet.Requestor{CallingTitle: "PEER", CalledTitle: title, Address: c.service.Addr()}
	for {
		a, err := r.Dial(t.Context(), dicomnet.Proposal{SOPClass: dicomtest.ClassEnhanced, TransferSyntaxes: []string{dicomtest.Syntax}})
		if !errors.Is(err, dicomnet.ErrAborted) {
			return a, err
		}
	}
}

// series is one in a single object.
func series(number int) dicomtest.Series {
	return dicomtest.Series{Number: number, Slices: 6, Enhanced: true}
}

func (c *component) send(t *testing.T, s dicomtest.Series) {
	t.Helper()
	a, err := c.call(t, c.cfg.DICOM.Title)
	if err != nil {
		t.Fatal(err)
	}
	for k := range s.Objects() {
		if status, err := a.Store(t.Context(), s.Class(), s.InstanceUID(k), dicomtest.Syntax, bytes.NewReader(s.DataSet(k))); err != nil || !status.OK() {
			t.Fatal(status, err)
		}
	}
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to pass")
		}
	}
}

func TestTheEngineWorksOnWhatTheNodeReceives(t *testing.T) {
	a := startArchive(t)
	cfg := configuration(t, a)
	cfg.DICOM.Overlay, cfg.DICOM.SR = true, true
	c := start(t, cfg)
	c.send(t, series(1))
	await(t, func() bool { return a.count() == 3 })
	c.stop()
	results, err := filepath.Glob(filepath.Join(c.cfg.Output.Root, "dicom", "series-*"))
	if err != nil || len(results) != 9 {
		t.Errorf("results: %v, %v", results, err)
	}
	for _, entry := range c.log.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "QXMARK") || strings.Contains(text, "1.2.826") {
			t.Errorf("the log shows a header: %s", text)
		}
	}
	if len(c.states) == 0 {
		t.Error("there was no status")
	}
}

func TestTheNodeGoesAlongWithTheConfiguration(t *testing.T) {
	a := startArchive(t)
	c := start(t, configuration(t, a))
	address := c.service.Addr()
	apply := func(change func(*config.Config)) error {
		next := c.cfg
		change(&next)
		err := c.engine.Apply(t.Context(), next)
		if err == nil {
			c.cfg = next
		}
		return err
	}
	// Another title on the same port, while series wait and peers call.
	c.send(t, series(1))
	if err := apply(func(c *config.Config) { c.DICOM.Title = "OTHER" }); err != nil {
		t.Fatal(err)
	}
	if c.service.Addr() != address {
		t.Errorf("the node went from %s to %s", address, c.service.Addr())
	}
	c.send(t, series(2))
	var rejected *dicomnet.RejectedError
	if _, err := c.call(t, "BRAINSEG"); !errors.As(err, &rejected) {
		t.Errorf("a call by the title before: %v", err)
	}
	await(t, func() bool { return a.count() == 2 })
	// What cannot be used changes nothing.
	var part *parts.Error
	if err := apply(func(c *config.Config) { c.DICOM.Listen = "0.0.0.0:0" }); !errors.As(err, &part) || part.Part != PartDICOM || !strings.Contains(err.Error(), "beyond this machine") {
		t.Errorf("an open port without a word: %v", err)
	}
	if err := apply(func(c *config.Config) { c.DICOM.Listen = a.address }); !errors.As(err, &part) {
		t.Errorf("a port that is taken: %v", err)
	}
	c.send(t, series(3))
	await(t, func() bool { return a.count() == 3 })
	// Another port, and none.
	if err := apply(func(c *config.Config) { c.DICOM.Listen = "localhost:0" }); err != nil {
		t.Fatal(err)
	}
	if now := c.service.Addr(); now == address {
		t.Error("the node stays at its address")
	}
	c.send(t, series(4))
	await(t, func() bool { return a.count() == 4 })
	last := c.service.Addr()
	if err := apply(func(c *config.Config) { c.DICOM.Listen = "" }); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{address, last} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("somebody still listens on %s", address)
		}
	}
}

func TestASeriesThatTheReadersRefuseIsNotTriedAgain(t *testing.T) {
	a := startArchive(t)
	c := start(t, configuration(t, a))
	c.send(t, dicomtest.Series{Number: 1, Slices: 6, Enhanced: true, Blank: true})
	await(t, func() bool { return c.log.FilterMessage("series refused").Len() == 1 })
	if got := c.log.FilterMessage("series refused").All()[0].ContextMap()["code"]; got != "no-signal" {
		t.Errorf("refused for %v", got)
	}
	if a.count() != 0 {
		t.Error("a result was returned")
	}
}

func TestTheWorkGoesOnAfterANewStart(t *testing.T) {
	a := startArchive(t)
	cfg := configuration(t, a)
	cfg.DICOM.Return = "PACS@127.0.0.1:1" // nobody is there
	first := start(t, cfg)
	const sent = 3
	for n := range sent {
		first.send(t, series(n))
	}
	await(t, func() bool { return first.log.FilterMessage("returning a result failed; it is tried again").Len() > 0 })
	first.stop()
	cfg.DICOM.Return = "PACS@" + a.address
	start(t, cfg)
	await(t, func() bool { return a.count() == sent })
	a.mu.Lock()
	defer a.mu.Unlock()
	different := make(map[string]bool)
	for _, instance := range a.stored {
		different[instance] = true
	}
	if len(different) != sent {
		t.Errorf("returned: %v", a.stored)
	}
}
