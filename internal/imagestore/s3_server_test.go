package imagestore

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// user holds the keys of one of the server's users: "device" may use the bucket
// scans and nothing else, "stranger" may do nothing.
type user struct{ ID, Secret string }

type s3Server struct {
	Endpoint string
	Users    map[string]user
	stop     func() error
}

// server is started once for all tests of the package.
var server = sync.OnceValues(startServer)
var serverStarted bool

func startServer() (*s3Server, error) {
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		return nil, err
	}
	if err := exec.Command(python, "-c", "import moto.server").Run(); err != nil {
		return nil, fmt.Errorf("the S3 server of the tests is missing (%w); run `make venv`", err)
	}
	command := exec.Command(python, "testdata/s3_server.py")
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	command.Stderr = io.Discard
	if err := command.Start(); err != nil {
		return nil, err
	}
	serverStarted = true
	s := &s3Server{stop: func() error { return join(stdin.Close(), command.Wait()) }}
	watchdog := time.AfterFunc(60*time.Second, func() { _ = command.Process.Kill() })
	defer watchdog.Stop()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return nil, join(fmt.Errorf("start testdata/s3_server.py: %w", err), s.stop())
	}
	return s, json.Unmarshal(line, s)
}

func join(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func TestMain(m *testing.M) {
	code := m.Run()
	if serverStarted {
		if s, err := server(); err == nil {
			if err := s.stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stop the S3 server:", err)
			}
		}
	}
	os.Exit(code)
}

// useS3 returns the server, with the environment set for one of its users.
func useS3(t *testing.T, name string) *s3Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts an S3 server")
	}
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	isolate(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s.Users[name].ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.Users[name].Secret)
	return s
}

// isolate hides the AWS configuration of whoever runs the tests.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "")
	}
	absent := filepath.Join(t.TempDir(), "absent")
	t.Setenv("AWS_CONFIG_FILE", absent)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", absent)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
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
