package greengrass

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
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
