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
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
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
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "small.nii.gz"), small24(t), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	out, sent = t.TempDir(), &spool.Spool{Parent: t.TempDir()}
	cfg.Images.Roots, cfg.Output.Root = []string{root}, out
	s = &service{API: New(Options{Spool: sent})}
	server := httptest.NewServer(s.API)
	t.Cleanup(server.Close)
	s.url, s.client = server.URL+"/", &http.Client{Transport: contract(t, server.Client().Transport)}
	var err error
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

// small24 is a scan of 24 voxels of 1 mm a side, brighter towards the front.
func small24(t *testing.T) []byte {
	t.Helper()
	const side = 24
	v := volume.Labels{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]uint8, v.Voxels())
	for i := range v.Values {
		v.Values[i] = uint8(10 * (i / side % side))
	}
	var b bytes.Buffer
	if err := nifti.WriteLabels(&b, &v, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
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
	answers := make(chan request.Result, 1)
	s.engine.Submit(t.Context(), job.Requester{Way: job.WayIPC},
		request.Request{ID: "a", Image: request.Image{Path: "small.nii.gz"}, Scan: &request.Scan{Kinds: []request.Kind{request.KindLabels}}}, func(o job.Outcome) {
			o.Claim.Release()
			answers <- o.Result
		})
	other := <-answers
	if other.Status != request.StatusSucceeded {
		t.Fatalf("%+v", other.Error)
	}
	want, err := os.ReadFile(other.Scan.Files[len(other.Scan.Files)-1].Path)
	if err != nil {
		t.Fatal(err)
	}
	packed := small24(t)
	for kind, body := range map[string][]byte{typeGzip: packed, "application/x-nifti": unzip(t, packed), "application/octet-stream": packed} {
		labels := s.do(t, http.MethodPost, "v1/scans", kind, bytes.NewReader(body))
		if labels.status != http.StatusOK || labels.kind != typeGzip || !bytes.Equal(unzip(t, labels.body), unzip(t, want)) {
			t.Fatalf("%s: %d %s, %d bytes", kind, labels.status, labels.kind, len(labels.body))
		}
		empty(t, sent)
	}
	result := s.document(t, "labels", typeGzip, packed)
	if result.Scan.BrainMillilitres != other.Scan.BrainMillilitres || result.Scan.BrainMillilitres == 0 {
		t.Errorf("%v ml, and others get %v", result.Scan.BrainMillilitres, other.Scan.BrainMillilitres)
	}
	if !bytes.Equal(unzip(t, result.Scan.Files[0].Base64), unzip(t, want)) {
		t.Error("the document has other labels")
	}
	if written, err := filepath.Glob(out + "/*"); err != nil || len(written) != 1 {
		t.Errorf("beside the results of others there is %v (%v)", written, err)
	}
}

// document is the answer in JSON to a scan that is sent.
func (s *service) document(t *testing.T, kinds, contentType string, body []byte) (result request.Result) {
	t.Helper()
	answer := s.do(t, http.MethodPost, "v1/scans?kinds="+kinds, contentType, bytes.NewReader(body), "Accept", typeJSON)
	if err := json.Unmarshal(answer.body, &result); err != nil || answer.status != http.StatusOK {
		t.Fatalf("%d %s: %v", answer.status, answer.body, err)
	}
	return result
}

func TestAZipOfDICOMIsAnsweredWithOneFileOfEachKind(t *testing.T) {
	s, sent, _ := startScans(t, nil)
	var kinds []request.Kind
	for _, f := range s.document(t, "picture,labels", "application/zip", input(t, "z-names.zip")).Scan.Files {
		kinds = append(kinds, f.Kind)
		if len(f.Base64) != f.Bytes || f.Path != "" {
			t.Errorf("%s has %d bytes of %d, path %q", f.Kind, len(f.Base64), f.Bytes, f.Path)
		}
	}
	if !slices.Equal(kinds, []request.Kind{request.KindPicture, request.KindLabels}) {
		t.Errorf("the document has %v", kinds)
	}
	empty(t, sent)
}

func TestWhatIsNoScanIsRefused(t *testing.T) {
	s, sent, _ := startScans(t, nil)
	good := small24(t)
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
	scan := small24(t)
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
