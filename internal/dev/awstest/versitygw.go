package awstest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// UseVersity starts an S3 server on an empty folder, with versioned buckets, for
// the duration of a test, and sets the environment so that the SDK's ordinary
// configuration leads to it. It returns its URL.
func UseVersity(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts an S3 server")
	}
	program := filepath.Join(root(), ".cache", "bin", "versitygw")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("versitygw is missing (%v); run `make test-servers`", err)
	}
	Isolate(t)
	address := freeAddress(t)
	dir := t.TempDir()
	for _, name := range []string{"objects", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(program, "--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", address,
		"posix", "--versioning-dir", filepath.Join(dir, "versions"), filepath.Join(dir, "objects"))
	command.Dir = dir
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var wait sync.WaitGroup
	wait.Go(func() { ended <- command.Wait() })
	t.Cleanup(func() {
		command.Process.Kill()
		wait.Wait()
	})
	endpoint := "http://" + address
	deadline := time.Now().Add(time.Minute)
	for {
		response, err := http.Get(endpoint + "/")
		if err == nil {
			response.Body.Close()
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("versitygw ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("versitygw does not answer")
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
	return endpoint
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(fmt.Errorf("find a free port: %w", err))
	}
	defer listener.Close()
	return listener.Addr().String()
}
