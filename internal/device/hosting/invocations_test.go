package hosting

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// asJPEG is a PNG as JPEG.
func asJPEG(t *testing.T, content string) string {
	t.Helper()
	picture, err := png.Decode(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, picture, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// tissueModel is the model threshold, with classes that DICOM knows.
func tissueModel(t *testing.T) string {
	t.Helper()
	from, dir := filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"), t.TempDir()
	manifest := strings.NewReplacer(`"inside"`, `"csf"`, `"above"`, `"grey-matter"`).Replace(read(t, filepath.Join(from, "manifest.json")))
	for name, content := range map[string]string{"manifest.json": manifest, "model.onnx": read(t, filepath.Join(from, "model.onnx"))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// smallScan is a NIfTI file of a few slices.
func smallScan(t *testing.T) string {
	t.Helper()
	var grid volume.Grid
	grid.Size = [3]int{24, 28, 20}
	values := make([]uint8, grid.Voxels())
	for axis := range 3 {
		grid.Affine[axis][axis] = 2
	}
	for i := range values {
		values[i] = uint8(i % 251)
	}
	var out strings.Builder
	if err := nifti.WriteLabels(&out, &volume.Labels{Grid: grid, Values: values}, nil); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestABodyIsAnsweredByItsTypeAndByWhatIsAccepted(t *testing.T) {
	c := start(t, func(o *Options) { o.Model = tissueModel(t) })
	c.ready(t)
	picture := read(t, slice)
	small, zipped := smallScan(t), read(t, inputs+"z-names.zip")
	document := `{"id": "a", "image": {"base64": "` + base64.StdEncoding.EncodeToString([]byte(picture)) + `"}}`
	const gz, mask = "\x1f\x8b", "\x89PNG"
	for _, tt := range []struct {
		name, body, contentType, accept string
		status                          int
		kind, in                        string // of the answer: type, and something in it
	}{
		{"a PNG slice", picture, "image/png", "", 200, "image/png", mask},
		{"a JPEG slice", asJPEG(t, picture), "image/jpeg", "*/*", 200, "image/png", mask},
		{"a slice without a type", picture, "", "image/png", 200, "image/png", mask},
		{"a slice as bytes, for its document", asJPEG(t, picture), "application/octet-stream", "application/json", 200, "application/json", `"base64":"`},
		{"the wish that weighs most", picture, "application/x-image", "application/json;q=0.5, image/*;q=0.8, */*;q=0.1", 200, "image/png", mask},
		{"what is not wanted is not sent", picture, "image/png", "image/png;q=0, */*", 200, "application/json", `"succeeded"`},
		{"a document", document, "application/json; charset=utf-8", "", 200, "application/json", `"id":"a","status":"succeeded"`},
		{"a document over several lines, without a type", strings.ReplaceAll(document, ",", ",\n"), "", "", 200, "application/json", `"succeeded"`},
		{"a document, for its overlay", strings.TrimSuffix(document, "}") + `, "output": {"overlay": true}}`, "application/json", "", 200, "application/json", `"overlay":{"sha256":`},
		{"NIfTI", small, "application/x-nifti", "", 200, "application/gzip", gz},
		{"NIfTI without a type, for its millilitres", small, "", "application/json", 200, "application/json", `"brainMl"`},
		{"zipped DICOM, for DICOM", zipped, "application/zip", "application/dicom", 200, "application/dicom", "DICM"},

		{"nothing", "", "", "", 400, "application/problem+json", `"invalid_request"`},
		{"no document", "{}", "application/json", "", 400, "application/json", `"invalid_request"`},
		{"nothing, as a document", " \n", "application/json", "", 400, "application/json", `"invalid_request"`},
		{"another type", "a,b", "text/csv", "", 415, "application/problem+json", "Content-Type"},
		{"no type at all", "a,b", "/", "", 415, "application/problem+json", "Content-Type"},
		{"an answer that is not made", picture, "image/png", "text/csv", 406, "application/problem+json", "image/png or application/json"},
		{"a scan's answer that is not made", small, "application/gzip", "image/png", 406, "application/problem+json", "NIfTI"},
		{"a damaged slice", picture[:100], "image/png", "", 422, "application/problem+json", `"image_unreadable"`},
		{"a damaged slice, for its document", picture[:100], "image/png", "application/json", 422, "application/problem+json", `"image_unreadable"`},
		{"a scan that is cut off", small[:len(small)/2], "application/gzip", "", 422, "application/problem+json", `"damaged"`},
		{"a SEG of no series", small, "application/gzip", "application/dicom", 422, "application/problem+json", `"no-series"`},
		{"no scan", "just words", "application/octet-stream", "", 422, "application/problem+json", `"not-a-scan"`},
		{"a path", `{"id": "a", "image": {"path": "/etc/passwd"}}`, "application/json", "", 403, "application/json", `"image_not_allowed"`},
		{"a scan to be called off", `{"id": "a", "cancel": true}`, "application/json", "", 400, "application/json", "comes as the body"},
		{"a bucket that was not allowed", `{"bucket": "other", "prefix": "input/a.png"}`, "application/json", "", 403, "application/json", `"image_not_allowed"`},
	} {
		status, kind, answer := c.invoke(t, tt.body, tt.contentType, tt.accept)
		if status != tt.status || kind != tt.kind || !strings.Contains(answer, tt.in) {
			t.Errorf("%s: %d %s %.300q, want %d %s with %q", tt.name, status, kind, answer, tt.status, tt.kind, tt.in)
		}
	}
}

func TestASliceGetsTheMaskThatTheModelGives(t *testing.T) {
	c := start(t)
	c.ready(t)
	status, _, answer := c.invoke(t, read(t, slice), "image/png", "")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, answer)
	}
	got, want := pixels(t, answer), pixels(t, read(t, root+"/artifacts/model/selftest.mask.png"))
	differ := 0
	for i := range want {
		if got[i] != want[i] {
			differ++
		}
	}
	if differ > len(want)/100 {
		t.Errorf("%d of %d pixels differ", differ, len(want))
	}
	_, _, document := c.invoke(t, read(t, slice), "image/png", "application/json")
	var result request.Result
	if err := json.Unmarshal([]byte(document), &result); err != nil || string(result.Mask.Base64) != answer {
		t.Errorf("the mask in the document is another one: %v", err)
	}
}

func pixels(t *testing.T, content string) []uint8 {
	t.Helper()
	picture, err := png.Decode(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	switch p := picture.(type) {
	case *image.Gray:
		return p.Pix
	case *image.Paletted:
		return p.Pix
	}
	t.Fatalf("the mask is a %T", picture)
	return nil
}

func TestInATransformJobOneBadRecordDoesNotFailTheOthers(t *testing.T) {
	c := start(t, func(o *Options) { o.Batch, o.MaxPayload = true, 1<<20 })
	c.ready(t)
	picture := read(t, slice)
	for _, tt := range []struct {
		name, body, contentType, accept string
		status                          int
		in                              string
	}{
		{"a damaged slice, for its document", picture[:100], "image/png", "application/json", 200, `"status":"failed"`},
		{"a damaged slice, for its mask", picture[:100], "image/png", "image/png", 422, `"image_unreadable"`},
		{"a damaged scan, for its millilitres", "\x1f\x8bnothing", "application/gzip", "application/json", 200, `"status":"failed"`},
		{"a damaged scan, for its labels", "\x1f\x8bnothing", "application/gzip", "", 422, `"damaged"`},
		{"a document", "{}", "application/json", "", 200, `"status":"failed"`},
		{"too large a payload", strings.Repeat("x", 1<<20+1), "application/gzip", "application/json", 413, `"image_too_large"`},
	} {
		if status, _, answer := c.invoke(t, tt.body, tt.contentType, tt.accept); status != tt.status || !strings.Contains(answer, tt.in) {
			t.Errorf("%s: %d %.300q, want %d with %q", tt.name, status, answer, tt.status, tt.in)
		}
	}
}

func TestEachLineIsAnsweredByALineInOrder(t *testing.T) {
	c := start(t, func(o *Options) { o.Configuration = `{"images": {"maxBytes": 65536}, "service": {"workers": 1}}` })
	c.ready(t)
	encoded := base64.StdEncoding.EncodeToString([]byte(read(t, slice)))
	var body strings.Builder
	var want []string
	for i := range 14 {
		switch {
		case i == 3:
			body.WriteString("no request\n\r\n")
			want = append(want, ": invalid_request")
		case i == 7:
			fmt.Fprintf(&body, `{"id": "long", "image": {"base64": "%s"}}`+"\n", strings.Repeat("A", 1<<18))
			want = append(want, ": image_too_large")
		case i == 11:
			fmt.Fprintf(&body, `{"id": "%d", "image": {"base64": "AAAA"}}`+"\n", i)
			want = append(want, "11: image_unreadable")
		default:
			fmt.Fprintf(&body, `{"id": "%d", "acknowledge": true, "image": {"base64": "%s"}}`+"\n", i, encoded)
			want = append(want, fmt.Sprintf("%d: mask", i))
		}
	}
	for _, contentType := range []string{"application/jsonlines", "application/json"} {
		status, kind, answer := c.invoke(t, body.String(), contentType, "")
		if status != http.StatusOK || kind != contentType {
			t.Fatalf("%s: %d %s %.300s", contentType, status, kind, answer)
		}
		var got []string
		for line := range strings.SplitSeq(answer, "\n") {
			var r request.Result
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s: %v: %.300q", contentType, err, line)
			}
			switch {
			case r.Error != nil:
				got = append(got, r.ID+": "+string(r.Error.Code))
			case len(r.Mask.Base64) > 0:
				got = append(got, r.ID+": mask")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: answers %q, want %q", contentType, got, want)
		}
	}
}

func TestSlicesInS3AreReadAndTheirMasksWrittenThere(t *testing.T) {
	endpoint := awstest.UseVersity(t)
	cfg, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
	bucket := "scans"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	content := []byte(read(t, slice))
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("input/p1/a.png"), Body: bytes.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
	c := start(t, func(o *Options) {
		o.Configuration = `{"s3": {"buckets": ["scans"], "pathStyle": true, "endpoint": "` + endpoint + `"}}`
	})
	c.ready(t)
	_, _, mask := c.invoke(t, string(content), "image/png", "")
	lines := `{"bucket": "scans", "prefix": "input/p1/a.png"}` + "\n" +
		`{"id": "b", "image": {"s3": "s3://scans/input/p1/a.png"}, "output": {"to": "s3://scans/out/b.png"}}` + "\n" +
		`{"id": "c", "image": {"s3": "s3://scans/input/p1/missing.png"}}` + "\n" +
		`{"id": "d", "image": {"s3": "s3://scans/input/p1/a.png"}}`
	_, _, answer := c.invoke(t, lines, "application/jsonlines", "")
	for i, want := range []string{
		`"bucket":"scans","prefix":"output/p1/a_MASK_PREDICTION.png"`, `"uri":"s3://scans/out/b.png"`, `"image_not_found"`, `"base64":"`,
	} {
		if got := strings.Split(answer, "\n"); len(got) != 4 || !strings.Contains(got[i], want) {
			t.Fatalf("answer %d of %q has no %s", i, answer, want)
		}
	}
	for _, key := range []string{"output/p1/a_MASK_PREDICTION.png", "out/b.png"} {
		object, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(object.Body); err != nil || got.String() != mask {
			t.Errorf("%s is not the mask: %v", key, err)
		}
		object.Body.Close()
	}
	if status, _, answer := c.invoke(t, `{"bucket": "other", "prefix": "input/a.png"}`, "application/json", ""); status != http.StatusForbidden {
		t.Errorf("another bucket: %d %s", status, answer)
	}
}
