package store

import (
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
)

// useS3 returns a server, with the environment set for one of its users. Its
// address is in the store's options alone.
func useS3(t *testing.T, user string) *awstest.Moto {
	t.Helper()
	m := awstest.UseMoto(t)
	m.Become(t, user)
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_REGION", "")
	return m
}

// isolate hides the AWS configuration of whoever runs the tests.
func isolate(t *testing.T) {
	t.Helper()
	awstest.Isolate(t)
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
}

// s3Store opens a store for S3 alone.
func s3Store(t *testing.T, endpoint string, change ...func(*Options)) *Store {
	t.Helper()
	options := Options{S3: S3Options{Endpoint: endpoint, PathStyle: true, AllowedBuckets: []string{"*"}}}
	for _, c := range change {
		c(&options)
	}
	store, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}
