package sagemaker

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/build/hosting"
	"github.com/brainseg/brainseg/internal/dev/container"
)

const root = "../../.."

// imageFiles brings what the image is made of up to date, as `make image` does, and
// not while package distribution makes the archives.
var imageFiles = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("flock", filepath.Join(root, "Makefile"), "make", "-s", "-C", root, "dist/image/"+runtime.GOARCH).CombinedOutput()
})

// site is an image's root folder with a model in it.
type site struct {
	image *container.Image
	root  string
}

// newSite puts the image together, with the files of a model where the service
// unpacks its archive; "" for none.
func newSite(t testing.TB, model string) *site {
	t.Helper()
	if output, err := imageFiles(); err != nil {
		t.Fatalf("make dist/image/%s: %v\n%s", runtime.GOARCH, err, output)
	}
	image, err := container.Read(filepath.Join(root, "Dockerfile"), map[string]string{"TARGETARCH": runtime.GOARCH})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{image: image, root: image.Root(t, root)}
	if model != "" {
		// What the training script leaves: it makes no pair for the self-test.
		to := filepath.Join(s.root, "opt", "ml", "model")
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"model.onnx", "manifest.json"} {
			if err := os.WriteFile(filepath.Join(to, name), read(t, filepath.Join(model, name)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// start starts the container as the service does, with one argument, and waits
// until it is ready.
func (s *site) start(t testing.TB, environment ...string) (Container, *container.Process) {
	t.Helper()
	port, began := freePort(t), time.Now()
	p := s.image.Start(t, s.root, []string{"serve"}, append(environment, "SAGEMAKER_BIND_TO_PORT="+port))
	c := Container{URL: "http://127.0.0.1:" + port, Gone: p.Ended()}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		t.Fatalf("%v\n%s", err, p.Output())
	}
	t.Logf("/ping was good %v after the start", time.Since(began).Round(time.Millisecond))
	return c, p
}

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

// zipped is a folder as a zip.
func zipped(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	thresholdModel = root + "/internal/segmentation/testdata/models/threshold"
	shippedModel   = root + "/artifacts/model"
	inputs         = root + "/internal/volume/testdata/scans/inputs/"
)

func TestTheImageIsWhatTheServiceAsksOfIt(t *testing.T) {
	image, err := container.Read(filepath.Join(root, "Dockerfile"), map[string]string{"TARGETARCH": "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	if image.Port != 8080 || !slices.Contains(image.Env, "BRAINSEG_TRUSTED_ADDRESS=:8080") {
		t.Errorf("port %d, environment %q", image.Port, image.Env)
	}
	if image.User == 0 {
		t.Error("the program is root")
	}
	if !slices.Equal(image.Command, []string{"serve"}) || image.Labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] != "true" {
		t.Errorf("command %q, labels %q", image.Command, image.Labels)
	}
}

func TestTheImageServesAnEndpoint(t *testing.T) {
	s := newSite(t, thresholdModel)
	c, p := s.start(t)
	slice := read(t, filepath.Join(shippedModel, "selftest.png"))
	for _, tt := range []struct {
		name                string
		body                []byte
		contentType, accept string
		status              int
		begins              string
	}{
		{"a slice", slice, "image/png", "image/png", 200, "\x89PNG"},
		{"a slice, for its document", slice, "application/x-image", "application/json", 200, `{"id"`},
		{"NIfTI", read(t, inputs+"n-las.nii.gz"), "application/x-nifti", "", 200, "\x1f\x8b"},
		{"zipped DICOM", zipped(t, inputs+"d-sagittal"), "application/zip", "application/json", 200, `{`},
		{"a document", []byte(`{"id": "a", "image": {"s3": "s3://scans/a.png"}}`), "application/json", "", 403, `{"id":"a","status":"failed"`},
		{"something else", []byte("a,b"), "text/csv", "", 415, `{`},
	} {
		answer, err := c.Invoke(t.Context(), tt.body, tt.contentType, tt.accept)
		if err != nil {
			t.Fatalf("%s: %v\n%s", tt.name, err, p.Output())
		}
		if answer.Status != tt.status || !strings.HasPrefix(string(answer.Body), tt.begins) {
			t.Errorf("%s: %d %.200q, want %d %q", tt.name, answer.Status, answer.Body, tt.status, tt.begins)
		}
	}
	dir := t.TempDir()
	for input, want := range map[string]string{inputs + "n-las.nii.gz": "one.out", inputs + "n-gz-cut.nii.gz": "one-error.out"} {
		path, err := c.InvokeAsync(t.Context(), "one", input, "application/octet-stream", "application/json", dir, dir)
		if err != nil || filepath.Base(path) != want || !json.Valid(read(t, path)) {
			t.Errorf("asynchronous: %s, %v, want %s", path, err, want)
		}
	}

	// SIGTERM while a scan is in work: it is answered first.
	answered := make(chan error, 1)
	go func() {
		answer, err := c.Invoke(context.Background(), read(t, inputs+"n-las.nii.gz"), "application/gzip", "")
		if err == nil && answer.Status != 200 {
			err = fmt.Errorf("status %d: %s", answer.Status, answer.Body)
		}
		answered <- err
	}()
	awaitScan(t, s)
	if err := p.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the scan in work: %v\n%s", err, p.Output())
	}
	if code, err := p.Wait(30 * time.Second); err != nil || code != 0 {
		t.Errorf("exit code %d, %v\n%s", code, err, p.Output())
	}
	if left, err := os.ReadDir(filepath.Join(s.root, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in /tmp: %v, %v", left, err)
	}
}

// awaitScan waits until a scan lies in /tmp.
func awaitScan(t *testing.T, s *site) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(s.root, "tmp", "*", "*", "scan")); len(found) > 0 {
			return
		}
	}
	t.Fatal("no scan arrives")
}

func TestTheImageSaysWhatIsWrongWithAModelThatItCannotServe(t *testing.T) {
	s := newSite(t, "")
	write(t, filepath.Join(s.root, "opt", "ml", "model", "model-0000.params"), nil)
	if err := os.Chmod(filepath.Join(s.root, "opt", "ml", "model"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := s.image.Start(t, s.root, []string{"serve"}, []string{"SAGEMAKER_BIND_TO_PORT=" + freePort(t)})
	code, err := p.Wait(time.Minute)
	if err != nil || code == 0 || !strings.Contains(p.Output(), "run model-build all") {
		t.Errorf("exit code %d, %v: %s", code, err, p.Output())
	}
}

// job is a transform job by the documents of model-build host.
func job(t testing.TB, content hosting.Content, accept string) Job {
	t.Helper()
	documents, err := hosting.Documents(hosting.Options{
		Name: "a", Image: "i", Role: "arn:aws:iam::123456789012:role/brainseg", ModelData: "s3://models/a.tar.gz",
		Input: "s3://scans/in", Output: "s3://scans/out", Content: content, Accept: accept,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := documents[len(documents)-1].JSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "job.json")
	write(t, path, text)
	j, err := ReadJob(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestTheImageWorksOffATransformJobOfEachContent(t *testing.T) {
	s := newSite(t, "") // its own model
	slice := read(t, filepath.Join(shippedModel, "selftest.png"))
	for _, content := range []hosting.Content{hosting.Slices, hosting.Requests, hosting.Scans} {
		in, out := t.TempDir(), t.TempDir()
		accept, failed := "", ""
		switch content {
		case hosting.Slices:
			for i := range 12 {
				write(t, filepath.Join(in, fmt.Sprintf("p%d/%02d.png", i%3, i)), slice)
			}
			write(t, filepath.Join(in, "bad.png"), slice[:200])
			failed = "bad.png"
		case hosting.Requests:
			var lines bytes.Buffer
			for i := range 12 {
				fmt.Fprintf(&lines, `{"id": "%d", "image": {"s3": "s3://scans/%d.png"}}`+"\n", i, i)
			}
			write(t, filepath.Join(in, "list.jsonl"), lines.Bytes())
		case hosting.Scans:
			write(t, filepath.Join(in, "a.nii.gz"), read(t, inputs+"n-gz-cut.nii.gz"))
			write(t, filepath.Join(in, "b.zip"), zipped(t, inputs+"d-mosaic"))
			accept = "application/json"
		}
		j := job(t, content, accept)
		c, p := s.start(t, j.Env()...)
		err := j.Run(t.Context(), c, in, out)
		if (failed == "") != (err == nil) || err != nil && (!errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "1 of 13 files") || !strings.Contains(err.Error(), failed)) {
			t.Errorf("%s: %v\n%s", content, err, p.Output())
		}
		if err := p.Terminate(); err != nil {
			t.Error(err)
		}
		if code, err := p.Wait(30 * time.Second); err != nil || code != 0 {
			t.Errorf("%s: exit code %d, %v", content, code, err)
		}
		outputs, err := filepath.Glob(filepath.Join(out, "*.out"))
		switch content {
		case hosting.Slices:
			if outputs, err = filepath.Glob(filepath.Join(out, "p*", "*.png.out")); len(outputs) != 12 || err != nil {
				t.Errorf("%s: outputs %q, %v", content, outputs, err)
			}
		case hosting.Requests: // S3 is off, and each line says so
			if got := strings.Split(string(read(t, outputs[0])), "\n"); len(got) != 12 || !strings.Contains(got[11], `"id":"11"`) || !strings.Contains(got[11], "image_not_allowed") {
				t.Errorf("%s: %q", content, got)
			}
		case hosting.Scans:
			if len(outputs) != 2 || !strings.Contains(string(read(t, outputs[0])), `"damaged"`) || !strings.Contains(string(read(t, outputs[1])), `"mosaic"`) {
				t.Errorf("%s: outputs %q, %v", content, outputs, err)
			}
		}
	}
}

func TestRecordsArePutTogetherAsAJobSays(t *testing.T) {
	const content = "one\ntwo\nthree"
	for _, tt := range []struct {
		split, strategy string
		megabytes       int
		want            []string
	}{
		{"None", "", 6, []string{content}},
		{"Line", "SingleRecord", 6, []string{"one\n", "two\n", "three"}},
		{"Line", "MultiRecord", 6, []string{content}},
		{"Line", "MultiRecord", 0, []string{"one\n", "two\n", "three"}},
	} {
		j := Job{BatchStrategy: tt.strategy, MaxPayloadInMB: &tt.megabytes}
		j.TransformInput.SplitType = tt.split
		var got []string
		for _, p := range j.payloads([]byte(content)) {
			got = append(got, string(p))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %q, want %q", tt.split, tt.strategy, got, tt.want)
		}
	}
}
