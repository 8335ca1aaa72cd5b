package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/model"
)

const scanInputs = "../../volume/testdata/scans/inputs"

// levels is a model that takes the brightness of a pixel for its tissue. enter, if
// not nil, is called for each slice.
type levels struct{ enter func(context.Context) }

func (l levels) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	if l.enter != nil {
		l.enter(ctx)
	}
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return ctx.Err()
}

func (levels) Manifest() *model.Manifest {
	return &model.Manifest{Name: "levels", Version: "1.0.0", SHA256: "00000000000000000000000000000000000000000000000000000000000000ff", Classes: model.Tissues}
}

func (levels) Close() error { return nil }

// startScans is a service that takes scans. Its engine may write to the folder out.
func startScans(t *testing.T, enter func(context.Context)) (s *service, sent *spool.Spool, out string) {
	t.Helper()
	root, err := filepath.Abs(scanInputs)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	out, sent = t.TempDir(), &spool.Spool{Parent: t.TempDir()}
	cfg.Images.Roots, cfg.Output.Root = []string{root}, out
	s = &service{API: New(Options{Spool: sent})}
	server := httptest.NewServer(s.API)
	t.Cleanup(server.Close)
	s.url, s.client = server.URL+"/", &http.Client{Transport: contract(t, server.Client().Transport)}
	s.engine, err = engine.Open(t.Context(), cfg, engine.Deps{Spool: sent, OpenModel: func(context.Context, config.Config, *zap.Logger) (engine.Model, error) {
		return levels{enter}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.SetEngine(s.engine)
	t.Cleanup(func() {
		s.engine.Close(context.Background())
		if err := sent.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, sent, out
}

func input(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(scanInputs, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func unzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// empty fails where a scan is left on disk.
func empty(t *testing.T, sent *spool.Spool) {
	t.Helper()
	folders := sent.And(nil)
	if len(folders) != 1 {
		t.Fatal("no scan was ever on disk")
	}
	left, err := os.ReadDir(folders[0])
	if err != nil || len(left) > 0 {
		t.Errorf("%d scans are left on disk (%v)", len(left), err)
	}
}

func TestAScanThatIsSentGetsTheLabelsThatOthersGet(t *testing.T) {
	s, sent, out := startScans(t, nil)
	for name, kind := range map[string]string{"n-las.nii.gz": typeGzip, "z-names.zip": "application/zip"} {
		answers := make(chan request.Result, 1)
		s.engine.Submit(t.Context(), engine.Requester{Way: engine.WayIPC},
			request.Request{ID: name, Image: request.Image{Path: name}, Scan: &request.Scan{Kinds: []request.Kind{request.KindLabels}}}, func(o engine.Outcome) {
				o.Claim.Release()
				answers <- o.Result
			})
		other := <-answers
		if other.Status != request.StatusSucceeded {
			t.Fatalf("%s: %+v", name, other.Error)
		}
		want, err := os.ReadFile(other.Scan.Files[len(other.Scan.Files)-1].Path)
		if err != nil {
			t.Fatal(err)
		}
		labels := s.do(t, http.MethodPost, "v1/scans", kind, bytes.NewReader(input(t, name)))
		if labels.status != http.StatusOK || labels.kind != typeGzip || !bytes.Equal(unzip(t, labels.body), unzip(t, want)) {
			t.Fatalf("%s: %d %s, %d bytes", name, labels.status, labels.kind, len(labels.body))
		}
		document := s.do(t, http.MethodPost, "v1/scans?kinds=picture,labels", kind, bytes.NewReader(input(t, name)), "Accept", typeJSON)
		var result request.Result
		if err := json.Unmarshal(document.body, &result); err != nil || document.status != http.StatusOK {
			t.Fatalf("%s: %d %s: %v", name, document.status, document.body, err)
		}
		var kinds []request.Kind
		for _, f := range result.Scan.Files {
			kinds = append(kinds, f.Kind)
			if len(f.Base64) != f.Bytes || f.Path != "" {
				t.Errorf("%s: %s has %d bytes of %d, path %q", name, f.Kind, len(f.Base64), f.Bytes, f.Path)
			}
		}
		if !slices.Equal(kinds, []request.Kind{request.KindPicture, request.KindLabels}) || !bytes.Equal(unzip(t, result.Scan.Files[1].Base64), unzip(t, want)) {
			t.Errorf("%s: the document has %v", name, kinds)
		}
		if result.Scan.BrainMillilitres != other.Scan.BrainMillilitres {
			t.Errorf("%s: %v ml, and others get %v", name, result.Scan.BrainMillilitres, other.Scan.BrainMillilitres)
		}
		empty(t, sent)
	}
	if written, err := filepath.Glob(out + "/*"); err != nil || len(written) != 2 {
		t.Errorf("beside the results of others there is %v (%v)", written, err)
	}
}

func TestWhatIsNoScanIsRefused(t *testing.T) {
	s, sent, _ := startScans(t, nil)
	good := input(t, "n-las.nii.gz")
	for _, tt := range []struct {
		name, path, kind, accept string
		body                     []byte
		status                   int
		code                     request.Code
	}{
		{"another type", "v1/scans", "image/png", "", good, 415, problem.CodeUnsupportedType},
		{"no type", "v1/scans", "", "", good, 415, problem.CodeUnsupportedType},
		{"an answer that is not made", "v1/scans", typeGzip, "image/png", good, 406, problem.CodeNotAcceptable},
		{"a kind that there is not", "v1/scans?kinds=labels,poem", typeGzip, typeJSON, good, 400, request.CodeInvalidRequest},
		{"a kind that cannot be made of it", "v1/scans?kinds=seg", typeGzip, typeJSON, good, 422, request.CodeImageUnreadable},
		{"a scan that is cut off", "v1/scans", typeGzip, "", good[:len(good)/2], 422, request.CodeImageUnreadable},
		{"nothing", "v1/scans", typeGzip, "", nil, 422, request.CodeImageUnreadable},
		{"text", "v1/scans", "application/zip", "", []byte("a letter"), 422, request.CodeImageUnreadable},
	} {
		headers := []string{}
		if tt.accept != "" {
			headers = []string{"Accept", tt.accept}
		}
		r := s.do(t, http.MethodPost, tt.path, tt.kind, bytes.NewReader(tt.body), headers...)
		if r.status != tt.status || r.code(t) != tt.code || bytes.Contains(r.body, []byte("brainseg-scans")) {
			t.Errorf("%s: got %d %s", tt.name, r.status, r.body)
		}
	}
	empty(t, sent)
	plain := start(t)
	if r := plain.do(t, http.MethodPost, "v1/scans", typeGzip, bytes.NewReader(good)); r.status != http.StatusNotFound {
		t.Errorf("where scans are not taken: got %d %s", r.status, r.body)
	}
}

func TestScansOnDiskAreBoundedAndWhoGoesAwayCallsTheirsOff(t *testing.T) {
	entered, called := make(chan struct{}, 1), make(chan struct{}, 100)
	s, sent, _ := startScans(t, func(ctx context.Context) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-ctx.Done()
		called <- struct{}{}
	})
	scan := input(t, "n-las.nii.gz")
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, maxScans)
	for range maxScans {
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"v1/scans", bytes.NewReader(scan))
			if err != nil {
				ended <- err
				return
			}
			r.Header.Set("Content-Type", typeGzip)
			answer, err := http.DefaultClient.Do(r)
			if err == nil {
				answer.Body.Close()
			}
			ended <- err
		}()
	}
	<-entered
	for end := time.Now().Add(time.Minute); len(s.scans) < maxScans && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if r := s.do(t, http.MethodPost, "v1/scans", typeGzip, bytes.NewReader(scan)); r.status != http.StatusTooManyRequests || r.code(t) != request.CodeBusy {
		t.Errorf("one too many: got %d %s", r.status, r.body)
	}
	leave()
	for range maxScans {
		if err := <-ended; err == nil {
			t.Error("a client that had gone was answered")
		}
	}
	<-called
	for end := time.Now().Add(time.Minute); len(s.scans) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	empty(t, sent)
}
