package cli

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
)

const (
	hostImage = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/brainseg:1"
	hostRole  = "arn:aws:iam::123456789012:role/brainseg"
)

// input reads a document into what the SDK sends.
func input[T any](t *testing.T, path ...string) *T {
	t.Helper()
	in := new(T)
	decoder := json.NewDecoder(bytes.NewReader(readFile(t, path...)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestAModelIsHostedByTheNameOfItsTrainingJob(t *testing.T) {
	s := newSite(t)
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	out := filepath.Join(s.dir, "hosting")
	o := mustRun(t, "host", "--training-job", job, "--image", hostImage, "--role", hostRole, "--cache", filepath.Join(s.dir, "cache"),
		"--input", "s3://"+s.bucket+"/in", "--output", "s3://"+s.bucket+"/out", "--content", "scans", "--out", out,
		"--instance-type", "ml.c5.xlarge") // moto knows none that is younger
	if want := "aws sagemaker create-transform-job --cli-input-json file://" + out; !strings.Contains(o.stdout, want) {
		t.Errorf("it said %q, without %q", o.stdout, want)
	}
	for _, create := range []func() error{
		func() error {
			_, err := s.training.CreateModel(t.Context(), input[sagemaker.CreateModelInput](t, out, "create-model.json"))
			return err
		},
		func() error {
			_, err := s.training.CreateEndpointConfig(t.Context(), input[sagemaker.CreateEndpointConfigInput](t, out, "create-endpoint-config.json"))
			return err
		},
		func() error {
			_, err := s.training.CreateEndpoint(t.Context(), input[sagemaker.CreateEndpointInput](t, out, "create-endpoint.json"))
			return err
		},
		func() error {
			_, err := s.training.CreateTransformJob(t.Context(), input[sagemaker.CreateTransformJobInput](t, out, "create-transform-job.json"))
			return err
		},
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
	}
	name := "threshold-1-0-0"
	m, err := s.training.DescribeModel(t.Context(), &sagemaker.DescribeModelInput{ModelName: &name})
	if err != nil || *m.PrimaryContainer.ModelDataUrl != "s3://"+s.bucket+"/"+s.key(job) {
		t.Errorf("model %+v, %v", m, err)
	}
	if e, err := s.training.DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: &name}); err != nil || *e.EndpointConfigName != name {
		t.Errorf("endpoint %+v, %v", e, err)
	}
	if j, err := s.training.DescribeTransformJob(t.Context(), &sagemaker.DescribeTransformJobInput{TransformJobName: &name}); err != nil || *j.ModelName != name {
		t.Errorf("transform job %+v, %v", j, err)
	}
}

func TestAModelThatTheContainerCannotRunIsNotHosted(t *testing.T) {
	s := newSite(t)
	damaged := modelFiles(t, "threshold")
	damaged["model.onnx"] = append(damaged["model.onnx"], 0)
	for name, test := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"of MXNet":   {map[string][]byte{"model-symbol.json": []byte("{}"), "model-0000.params": []byte("x")}, "run model-build all"},
		"of another": {map[string][]byte{"model.pth": []byte("x")}, "neither NAME.onnx"},
		"damaged":    {damaged, "checksum"},
	} {
		key := "host/" + strings.ReplaceAll(name, " ", "-") + "/model.tar.gz"
		s.put(t, key, tarGz(t, test.files))
		out := filepath.Join(s.dir, "none")
		o := run(t, "host", "--s3", "s3://"+s.bucket+"/"+key, "--image", hostImage, "--role", hostRole, "--cache", filepath.Join(s.dir, "cache"), "--out", out)
		if o.code != ExitFailed || !strings.Contains(o.stderr, test.want) {
			t.Errorf("%s: exit code %d, %q, want one with %q", name, o.code, o.stderr, test.want)
		}
	}
}

func TestAPackageIsHostedByAnArchiveOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	packed := filepath.Join(dir, "package")
	if _, err := modelpackage.Build(filepath.Join("..", "..", "segmentation", "testdata", "models", "values"), packed, modelpackage.Options{}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "hosting")
	o := mustRun(t, "host", "--package", packed, "--model-data", "s3://models/values/model.tar.gz", "--image", hostImage, "--role", hostRole, "--out", out)
	if want := "aws s3 cp " + filepath.Join(out, "model.tar.gz") + " s3://models/values/model.tar.gz\n"; !strings.HasPrefix(o.stdout, want) {
		t.Errorf("it said %q, which does not begin with %q", o.stdout, want)
	}
	if m := input[sagemaker.CreateModelInput](t, out, "create-model.json"); *m.ModelName != "values-1-0-0" {
		t.Errorf("model %s", *m.ModelName)
	}
	for _, args := range [][]string{
		{"--package", packed}, {"--model-data", "s3://a/b.tar.gz", "--s3", "s3://a/b.tar.gz"}, {"--s3", "s3://a/b", "--training-job", "x"}, {},
		{"--package", packed, "--model-data", "nowhere"},
	} {
		o := run(t, append([]string{"host", "--image", hostImage, "--role", hostRole, "--out", filepath.Join(dir, "none")}, args...)...)
		if o.code != ExitUsage {
			t.Errorf("%q: exit code %d, %q", args, o.code, o.stderr)
		}
	}
}
