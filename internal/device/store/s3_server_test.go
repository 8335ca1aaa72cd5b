package store

import (
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/store/objects"
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

// s3Store opens a store for S3 alone.
func s3Store(t *testing.T, endpoint string, change ...func(*Options)) *Store {
	t.Helper()
	options := Options{S3: objects.Options{Endpoint: endpoint, PathStyle: true, AllowedBuckets: []string{"*"}}}
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
