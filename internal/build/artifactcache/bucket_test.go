package artifactcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/dev/awstest"
)

const artifactURI = "s3://models/job/output/model.tar.gz"

// client returns a client by the environment that does not repeat calls, so that
// every fault is this package's to mend.
func client(t *testing.T) *s3.Client {
	t.Helper()
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	configuration.RetryMaxAttempts = 1
	return awsaccess.S3(configuration)
}

// bucket starts an S3 server with a proxy before it, and puts content there.
func bucket(t *testing.T, content []byte) (*awstest.Proxy, *s3.Client) {
	t.Helper()
	proxy := awstest.NewProxy(t, awstest.UseVersity(t))
	t.Setenv("AWS_ENDPOINT_URL_S3", proxy.URL)
	api := client(t)
	if _, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("models"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	_, err := api.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String("models"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, api, content)
	proxy.Set(awstest.Fault{})
	return proxy, api
}

func put(t *testing.T, api *s3.Client, content []byte, change ...func(*s3.PutObjectInput)) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String("models"), Key: aws.String("job/output/model.tar.gz"), Body: bytes.NewReader(content)}
	for _, c := range change {
		c(in)
	}
	if _, err := api.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// checkArtifact compares the file of the cache with what was uploaded.
func checkArtifact(t *testing.T, a Artifact, content []byte) {
	t.Helper()
	got, err := os.ReadFile(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) || a.SHA256 != sumOf(content) || a.Size != int64(len(content)) {
		t.Errorf("the artifact %+v is not what was uploaded (sha256 %s)", a, sumOf(content))
	}
}

// checkNothingUsable fails if the cache offers anything as an artifact.
func checkNothingUsable(t *testing.T, c *Cache) {
	t.Helper()
	for _, dir := range []string{"sha256", "objects"} {
		entries, err := os.ReadDir(filepath.Join(c.dir, dir))
		if err != nil || len(entries) > 0 {
			t.Errorf("%s has %v after a failure (%v)", dir, entries, err)
		}
	}
}
