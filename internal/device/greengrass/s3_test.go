package greengrass

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

func TestTheFormOf2018ReadsFromAndWritesToS3(t *testing.T) {
	moto := awstest.UseMoto(t)
	moto.Become(t, awstest.Device)
	t.Setenv("AWS_ENDPOINT_URL", "") // the configuration names it
	endpoint := moto.Endpoint
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
	d := newDevice(t, nucleus.Lite, map[string]any{"s3": map[string]any{"buckets": "scans", "endpoint": endpoint, "pathStyle": true}})
	d.slice("a.png")
	content, err := os.ReadFile(filepath.Join(d.in, "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = bucket.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("scans"), Key: aws.String("input/day 1/a.png"), Body: bytes.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	d.launch()

	r := d.ask(`{"bucket":"scans","prefix":"input/day 1/a.png","output":{"overlay":true}}`)
	if r.Error != nil || r.Bucket != "scans" || r.Prefix != "output/day 1/a_MASK_PREDICTION.png" {
		t.Fatalf("result: %+v, error %+v", r, r.Error)
	}
	if want := "s3://scans/output/day 1/a_MASK_PREDICTION.png"; r.Mask.URI != want || r.Mask.Path != "" {
		t.Errorf("mask: %+v, want %s", r.Mask, want)
	}
	object, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("scans"), Key: &r.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if mask, err := png.Decode(object.Body); err != nil || mask.Bounds().Dx() != 12 {
		t.Errorf("the object is no mask of the slice: %v", err)
	}
	if r := d.ask(`{"bucket":"scans","prefix":"input/nothing.png"}`); r.Error == nil || r.Error.Code != "image_not_found" {
		t.Errorf("an object that is not there: %+v", r.Error)
	}
	if r := d.ask(`{"id":"p","image":{"s3":"s3://private/slice.png"}}`); r.Error == nil || r.Error.Code != "image_not_allowed" {
		t.Errorf("a bucket that is not configured: %+v", r.Error)
	}
}

func TestAMaskWaitsForS3AndItsAnswerSaysSo(t *testing.T) {
	moto := awstest.UseMoto(t)
	moto.Become(t, awstest.Device)
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	target, err := url.Parse(moto.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var online atomic.Bool
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	network := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !online.Load() {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(network.Close)
	d := newDevice(t, nucleus.Lite, map[string]any{"s3": map[string]any{"buckets": "scans", "endpoint": network.URL, "pathStyle": true, "spoolBytes": 1 << 20}})
	d.slice("a.png")
	d.launch()
	asked := `{"id":"a","image":{"path":"a.png"},"output":{"to":"s3://scans/waits/a.png"}}`
	r := d.ask(asked)
	if r.Error != nil || r.Mask == nil || !r.Mask.Pending || r.Mask.URI != "s3://scans/waits/a.png" {
		t.Fatalf("result: %+v, mask %+v, error %+v", r, r.Mask, r.Error)
	}
	d.stop()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	online.Store(true)
	d.launch()
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &moto.Endpoint, true })
	var content []byte
	until(t, "the mask is in S3", func() bool {
		object, err := bucket.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("scans"), Key: aws.String("waits/a.png")})
		if err != nil {
			return false
		}
		defer object.Body.Close()
		content, err = io.ReadAll(object.Body)
		return err == nil
	})
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != r.Mask.SHA256 {
		t.Error("the object is another than the answer says")
	}
}
