package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	sagemakertypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// programVariable makes the test binary behave as the program; the program calls
// itself.
const programVariable = "BRAINSEG_TEST_MODEL_BUILD"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		os.Exit(Run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program is a process that behaves as the program.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(executable, args...)
	return command
}

// outcome is what a command line led to.
type outcome struct {
	code           int
	stdout, stderr string
}

func run(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// mustRun fails the test where the command does.
func mustRun(t *testing.T, args ...string) outcome {
	t.Helper()
	o := run(t, args...)
	if o.code != ExitOK {
		t.Fatalf("model-build %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o
}

// modelFiles are those of one of package segmentation's test models, and what a
// training script leaves beside them.
func modelFiles(t *testing.T, name string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"metrics.json":  []byte(`{"validation": {"dice": {"csf": 0.75}}, "subjects": ["sub-09"]}`),
		"MODEL_CARD.md": []byte("# Card\n"),
		"code/train.py": []byte("print('training')\n"),
	}
	for _, file := range []string{"model.onnx", "manifest.json"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "segmentation", "testdata", "models", name, file))
		if err != nil {
			t.Fatal(err)
		}
		files[file] = content
	}
	return files
}

// tarGz packs files as SageMaker does.
func tarGz(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zipped)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func sumOf(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// noise is a slice that every test model finds something on.
func noise(seed uint64, width, height int) *image.Gray {
	random := rand.New(rand.NewPCG(seed, 7))
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(random.IntN(256))
	}
	return slice
}

func writePNG(t *testing.T, path string, picture image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, b.Bytes())
}

// site is what a user of the program has: moto behind a proxy, a bucket, golden
// slices, folders of his own.
type site struct {
	moto     *awstest.Moto
	proxy    *awstest.Proxy
	bucket   string
	golden   string
	dir      string
	s3       *s3.Client
	training *sagemaker.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Setenv(segmentation.LibraryVariable, awstest.Library(t))
	t.Setenv(programVariable, "1")
	s := &site{moto: awstest.UseMoto(t), dir: t.TempDir()}
	s.proxy = awstest.NewProxy(t, s.moto.Endpoint)
	t.Setenv("AWS_ENDPOINT_URL", s.proxy.URL)
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.s3, s.training = awsaccess.S3(configuration), sagemaker.NewFromConfig(configuration)
	s.bucket = fmt.Sprintf("models-%x", time.Now().UnixNano())
	_, err = s.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.s3.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: &s.bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	s.golden = filepath.Join(s.dir, "golden")
	writePNG(t, filepath.Join(s.golden, "a.png"), noise(1, 60, 50))
	writePNG(t, filepath.Join(s.golden, "b", "c.png"), noise(2, 33, 47))
	return s
}

// train makes a training job that left artifact, and returns its name.
func (s *site) train(t *testing.T, artifact []byte) string {
	t.Helper()
	name := fmt.Sprintf("job-%x", time.Now().UnixNano())
	_, err := s.training.CreateTrainingJob(t.Context(), &sagemaker.CreateTrainingJobInput{
		TrainingJobName:        &name,
		RoleArn:                aws.String("arn:aws:iam::123456789012:role/training"),
		AlgorithmSpecification: &sagemakertypes.AlgorithmSpecification{TrainingImage: aws.String("image:1"), TrainingInputMode: sagemakertypes.TrainingInputModeFile},
		HyperParameters:        map[string]string{"network": "enet", "learning_rate": "0.001"},
		OutputDataConfig:       &sagemakertypes.OutputDataConfig{S3OutputPath: aws.String("s3://" + s.bucket + "/jobs")},
		ResourceConfig:         &sagemakertypes.ResourceConfig{InstanceCount: aws.Int32(1), InstanceType: sagemakertypes.TrainingInstanceTypeMlC5Xlarge, VolumeSizeInGB: aws.Int32(30)},
		StoppingCondition:      &sagemakertypes.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, s.key(name), artifact)
	s.proxy.Set(awstest.Fault{})
	return name
}

func (s *site) key(job string) string { return "jobs/" + job + "/output/model.tar.gz" }

// put returns the version of the object.
func (s *site) put(t *testing.T, key string, content []byte) string {
	t.Helper()
	out, err := s.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(content)})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.VersionId)
}

// all is the command line of all with folders of the site's, or of name's.
func (s *site) all(name string, more ...string) []string {
	return append([]string{"all", "--work", filepath.Join(s.dir, name+"-work"), "--cache", filepath.Join(s.dir, name+"-cache"), "--golden", s.golden}, more...)
}

func (s *site) zip(t *testing.T, name string) []byte {
	t.Helper()
	return readFile(t, s.dir, name+"-work", "package", "model.zip")
}
