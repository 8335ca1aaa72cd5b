package objects

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// isolate hides the AWS configuration of whoever runs the tests.
func isolate(t *testing.T) {
	t.Helper()
	awstest.Isolate(t)
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
}

// get reads an object that is not there, and returns the fault.
func get(t *testing.T, s *Store) fault.Fault {
	t.Helper()
	var f fault.Fault
	_, err := s.Get(t.Context(), "s3://scans/slice.png", func(context.Context, io.Reader, int64) ([]byte, error) {
		t.Error("there is something")
		return nil, nil
	})
	if !errors.As(err, &f) {
		t.Fatalf("error %v", err)
	}
	return f
}

func TestS3IsOffUntilABucketIsAllowed(t *testing.T) {
	isolate(t)
	s := New(Options{})
	if f := get(t, s); f.Kind != fault.ErrBucket || !strings.Contains(f.Hint, "off") {
		t.Errorf("%+v does not say that S3 is off", f)
	}
	if s.client != nil {
		t.Error("a client was built for nothing")
	}
}

func TestARegionIsAskedForAndTheClientBuiltLater(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWNUNKNOWN00")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "unknown")
	s := New(Options{AllowedBuckets: []string{"*"}})
	if f := get(t, s); f.Kind != fault.ErrCredentials || !strings.Contains(f.Hint, "region") {
		t.Errorf("%+v does not ask for the region", f)
	}
	t.Setenv("AWS_REGION", "eu-central-1")
	if _, _, err := s.load(t.Context()); err != nil {
		t.Errorf("after the cure: %v", err)
	}
}
