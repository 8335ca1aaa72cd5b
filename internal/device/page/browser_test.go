package page_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/listener"
	"github.com/brainseg/brainseg/internal/device/page"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

var screenshots = flag.String("screenshots", "", "a folder for pictures of the page")

const root = "../../.."

var oldNode = regexp.MustCompile(`^1?[0-9]\.`)

// gate is the real model, that can be held up, and replaced by one that takes the
// brightness of a pixel for its tissue and no time.
type gate struct {
	engine.Model
	quick   atomic.Bool
	closed  chan chan struct{} // holds one channel while the gate is closed, which is closed with it
	entered chan struct{}
}

func (g *gate) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := g.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

func (g *gate) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	select {
	case opened := <-g.closed:
		g.entered <- struct{}{}
		<-opened
	default:
	}
	if !g.quick.Load() {
		return segmentation.Detail(ctx, g.Model, slice, mask, scores)
	}
	clear(scores)
	for i, v := range slice.Pix {
		mask[i] = v / 64
		if scores != nil {
			scores[int(mask[i])*len(mask)+i] = 255
		}
	}
	return nil, nil
}

func TestThePageInABrowser(t *testing.T) {
	modules, err := filepath.Abs(filepath.Join(root, ".cache", "browser", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "playwright-core")); err != nil {
		t.Skip("the page is NOT tested in a browser: playwright-core is missing; `make test-servers` fetches it")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("the page is NOT tested in a browser: node is missing; install Node.js")
	}
	if version, err := exec.Command(node, "-p", "process.versions.node").Output(); err != nil || oldNode.Match(version) {
		t.Skipf("the page is NOT tested in a browser: playwright-core needs Node.js 20, and this is %s (%v)", bytes.TrimSpace(version), err)
	}
	chromium := findChromium()
	if chromium == "" {
		t.Skip("the page is NOT tested in a browser: there is no Chromium (Debian: apt install chromium)")
	}

	var activity page.Activity
	held := &gate{closed: make(chan chan struct{}, 1), entered: make(chan struct{})}
	sent := &spool.Spool{Parent: t.TempDir()}
	t.Cleanup(func() { sent.Close() })
	e := open(t, activity.Note, held, sent)
	api := httpapi.New(httpapi.Options{Spool: sent})
	api.SetEngine(e)
	activity.Mount(api.Handle)
	server := listener.New(api, zap.NewNop())
	server.OnShutdown(activity.Disconnect)
	if err := e.Attach(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(t.Context()) })
	url := "http://" + server.Addr() + "/"

	files := t.TempDir()
	writeInputs(t, files, url)
	var opened chan struct{}
	control := http.NewServeMux()
	control.HandleFunc("POST /hold", func(http.ResponseWriter, *http.Request) {
		opened = make(chan struct{})
		held.closed <- opened
		for i := range 2 {
			e.Submit(context.Background(), job.Requester{Way: job.WayHTTP}, request.Request{
				ID: "held", Image: request.Image{Inline: sample(t)}, Output: request.Output{Discard: true},
			}, func(job.Outcome) {})
			if i == 0 {
				<-held.entered
			}
		}
	})
	control.HandleFunc("POST /quick", func(http.ResponseWriter, *http.Request) { held.quick.Store(true) })
	control.HandleFunc("POST /slow", func(http.ResponseWriter, *http.Request) { held.quick.Store(false) })
	control.HandleFunc("POST /release", func(http.ResponseWriter, *http.Request) { close(opened) })
	control.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) {
		if err := server.Close(t.Context()); err != nil {
			t.Errorf("the streams of pages do not end with the listener: %v", err)
		}
	})
	controls := httptest.NewServer(control)
	t.Cleanup(controls.Close)

	pictures := *screenshots
	if pictures != "" {
		if pictures, err = filepath.Abs(pictures); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := json.Marshal(map[string]string{
		"url": url, "control": controls.URL, "files": files, "modules": modules, "chromium": chromium, "screenshots": pictures,
	})
	if err != nil {
		t.Fatal(err)
	}
	drive(t, node, settings)
}

// drive runs the checks of page.mjs as subtests.
func drive(t *testing.T, node string, settings []byte) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	driver := exec.CommandContext(ctx, node, filepath.Join("testdata", "browser", "page.mjs"))
	driver.Env = append(os.Environ(), "PAGE_TEST="+string(settings))
	var complaints bytes.Buffer
	driver.Stderr = &complaints
	driver.WaitDelay = 10 * time.Second
	output, err := driver.StdoutPipe()
	if err == nil {
		err = driver.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	for lines := bufio.NewScanner(output); lines.Scan(); checks++ {
		var result struct{ Name, Error string }
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			t.Errorf("the driver says %q", lines.Text())
			continue
		}
		t.Run(result.Name, func(t *testing.T) {
			if result.Error != "" {
				t.Error(result.Error)
			}
		})
	}
	if err := driver.Wait(); err != nil || checks < 15 {
		t.Errorf("the driver ended after %d checks: %v\n%s", checks, err, complaints.Bytes())
	}
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	return ""
}

// open opens an engine over the shipped model, which lets one request wait.
func open(t *testing.T, note func(request.Status), held *gate, sent *spool.Spool) *engine.Engine {
	t.Helper()
	cfg := config.Default()
	cfg.Model.Path = filepath.Join(root, "artifacts", "model")
	cfg.Model.Library = filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	cfg.Images.Roots, cfg.Output.Root = nil, ""
	cfg.HTTP.Address = "127.0.0.1:0"
	cfg.Service.Queue, cfg.Service.Workers = 1, 1
	e, err := engine.Open(t.Context(), cfg, engine.Deps{Status: note, Spool: sent, OpenModel: func(_ context.Context, cfg config.Config, _ *zap.Logger) (engine.Model, error) {
		m, err := segmentation.Open(cfg.Model.Path, segmentation.Options{Library: cfg.Model.Library, Threads: cfg.Service.Threads, MaxPixels: cfg.Images.MaxPixels})
		held.Model = m
		return held, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	e.Announce("Ready.", request.StateReady)
	return e
}

func sample(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "artifacts", "samples", "whole-head", "axial-085.png"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// writeInputs leaves slices in a folder, and beside those that can be segmented
// the mask that the device gives other clients and what the page has to show.
func writeInputs(t *testing.T, folder, url string) {
	t.Helper()
	slice, err := png.Decode(bytes.NewReader(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	grey := image.NewGray(slice.Bounds())
	deep := image.NewGray16(slice.Bounds())
	for y := range grey.Rect.Dy() {
		for x := range grey.Rect.Dx() {
			v := color.GrayModel.Convert(slice.At(x, y)).(color.Gray).Y
			grey.SetGray(x, y, color.Gray{Y: v})
			deep.SetGray16(x, y, color.Gray16{Y: 12 * uint16(v)}) // as a scanner's 4,096 values
		}
	}
	encode := func(picture image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, picture); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, grey, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	scan, labels := head(t)
	series, err := os.ReadFile(filepath.Join(root, "internal", "volume", "testdata", "scans", "inputs", "z-names.zip"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{
		"black.png": encode(image.NewGray(grey.Rect)), "text.png": []byte("a letter"),
		"head_dseg.nii.gz": labels, "series.zip": series, "text.nii": []byte("a letter"),
	} {
		write(name, content)
	}
	for name, content := range map[string][]byte{"slice.png": sample(t), "deep.png": encode(deep), "turned.jpg": turned(photo.Bytes())} {
		kind := "image/png"
		if filepath.Ext(name) == ".jpg" {
			kind = "image/jpeg"
		}
		mask := ask(t, url, kind, "image/png", content)
		write(name, content)
		write(name+".mask", mask)
		write(name+".json", expectation(t, grey, mask, ask(t, url, kind, "application/json", content)))
	}
	write("head.nii.gz", scan)
	var document request.Result
	if err := json.Unmarshal(ask(t, url+"v1/scans", "application/gzip", "application/json", scan), &document); err != nil {
		t.Fatal(err)
	}
	write("head.nii.gz.labels", document.Scan.Files[0].Base64)
	document.Scan.Files = nil
	expected, err := json.Marshal(document.Scan)
	if err != nil {
		t.Fatal(err)
	}
	write("head.nii.gz.json", expected)
}

// head is a ball as a NIfTI scan, and its label map, of shells.
func head(t *testing.T) (scan, labels []byte) {
	t.Helper()
	const width, depth, height = 24, 28, 18
	var values, classes []byte
	for z := range height {
		for y := range depth {
			for x := range width {
				from := math.Hypot(math.Hypot(float64(x-width/2), float64(y-depth/2)), float64(z-height/2))
				class := byte(max(0, 3-int(from/2.5)))
				values, classes = append(values, 50*class), append(classes, class)
			}
		}
	}
	write := func(voxels []byte) []byte {
		header := make([]byte, 352)
		put := func(at int, v any) {
			if _, err := binary.Encode(header[at:], binary.LittleEndian, v); err != nil {
				t.Fatal(err)
			}
		}
		put(0, int32(348))
		put(40, []int16{3, width, depth, height, 1, 1, 1, 1})
		put(70, []int16{2, 8})                                                              // bytes
		put(76, []float32{1, 1, 1, 1})                                                      // mm
		put(108, []float32{352, 1})                                                         // where voxels are, and their slope
		put(254, int16(1))                                                                  // the matrix counts:
		put(280, []float32{1, 0, 0, -width / 2, 0, 1, 0, -depth / 2, 0, 0, 1, -height / 2}) // to the right, to the front, up
		copy(header[344:], "n+1\x00")
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(append(header, voxels...))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	return write(values), write(classes)
}

// turned puts in front of a JPEG's first segment that it is to be shown turned by
// a quarter.
func turned(photo []byte) []byte {
	exif := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01"), 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0)
	segment := append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2)), exif...)
	return bytes.Join([][]byte{photo[:2], segment, photo[2:]}, nil)
}

// ask returns what the device answers other clients.
func ask(t *testing.T, url, kind, accept string, content []byte) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Accept", accept)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %s: %s", kind, err, answer.Status, body)
	}
	return body
}

// expectation is what the page has to show for a mask of the slice.
func expectation(t *testing.T, slice *image.Gray, mask, answer []byte) []byte {
	t.Helper()
	var document request.Result
	if err := json.Unmarshal(answer, &document); err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(mask))
	if err != nil {
		t.Fatal(err)
	}
	colours := make(map[uint8]string)
	for _, tissue := range document.Tissues {
		colours[tissue.Value] = tissue.Colour
	}
	written, err := json.Marshal(map[string]any{
		"width": slice.Rect.Dx(), "height": slice.Rect.Dy(), "grey": slice.Pix, "classes": decoded.(*image.Gray).Pix,
		"colours": colours, "tissues": document.Tissues[1:], "model": document.Model.Name + " " + document.Model.Version,
	})
	if err != nil {
		t.Fatal(err)
	}
	return written
}
