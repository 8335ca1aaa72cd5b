package greengrass

import (
	"bufio"
	"bytes"
	"encoding/json"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/brainseg/brainseg/internal/nucleus"
)

// startS3 starts the S3 server of package imagestore's tests and sets the
// environment for its user "device", who may use the bucket "scans".
func startS3(t *testing.T) (endpoint string) {
	t.Helper()
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "../imagestore/testdata/s3_server.py")
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("start the S3 server (run `make venv`): %v", err)
	}
	t.Cleanup(func() {
		stdin.Close()
		command.Wait()
	})
	var server struct {
		Endpoint string
		Users    map[string]struct{ ID, Secret string }
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &server)
	}
	if err != nil {
		t.Fatalf("the S3 server did not start: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", server.Users["device"].ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Users["device"].Secret)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "absent"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "absent"))
	return server.Endpoint
}

func TestTheFormOf2018ReadsFromAndWritesToS3(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an S3 server")
	}
	endpoint := startS3(t)
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
