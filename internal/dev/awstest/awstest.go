// Package awstest starts what plays AWS in the tests: moto for S3, its rights,
// and SageMaker, versitygw for S3 with the checksums of the real one, a server for
// the calls of Greengrass that moto lacks, and a proxy that disturbs transfers.
//
// Only tests import it. Moto lives in the repository's .venv and versitygw in
// .cache/bin; `make test-servers` brings both.
package awstest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Region is the region of all servers of this package.
const Region = "eu-west-1"

// Account is the account of all servers of this package.
const Account = "123456789012"

// The keys that every server accepts.
const (
	AccessKey = "administrator"
	SecretKey = "administrator-secret"
)

// root returns the repository's root folder.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Library returns this machine's ONNX Runtime, as the fetch script leaves it.
func Library(t testing.TB) string {
	t.Helper()
	path := filepath.Join(root(), "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("ONNX Runtime is missing; run artifacts/onnxruntime/fetch.sh: %v", err)
	}
	return path
}

// Isolate hides the AWS configuration of whoever runs the tests, and sets the
// keys and the region of this package's servers.
func Isolate(t testing.TB) {
	t.Helper()
	for _, name := range []string{"AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_GREENGRASSV2",
		"HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_REGION", Region)
	absent := filepath.Join(t.TempDir(), "absent")
	t.Setenv("AWS_CONFIG_FILE", absent)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", absent)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
