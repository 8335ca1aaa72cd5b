package awstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The users whom moto knows besides the administrator.
const (
	// Device may use the bucket scans and nothing else. There is a bucket private,
	// too, with slice.png in it.
	Device = "device"
	// Stranger may do nothing.
	Stranger = "stranger"
)

// User has the keys of a user.
type User struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Moto is a running moto server.
type Moto struct {
	Endpoint string          `json:"endpoint"`
	Users    map[string]User `json:"users"`

	mu      sync.Mutex
	stdin   io.WriteCloser // guarded by mu
	answers *bufio.Reader  // guarded by mu
}

// moto is started once for all tests of a test binary. It ends with it, because
// its standard input closes then.
var moto = sync.OnceValues(startMoto)

func startMoto() (*Moto, error) {
	python := filepath.Join(root(), ".venv", "bin", "python")
	if err := exec.Command(python, "-c", "import moto.server, moto.sagemaker").Run(); err != nil {
		return nil, fmt.Errorf("moto is missing (%w); run `make test-servers`", err)
	}
	command := exec.Command(python, filepath.Join(root(), "internal", "dev", "awstest", "moto_server.py"))
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	watchdog := time.AfterFunc(2*time.Minute, func() { command.Process.Kill() })
	defer watchdog.Stop()
	m := &Moto{stdin: stdin, answers: bufio.NewReader(stdout)}
	line, err := m.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("start moto_server.py: %w", err)
	}
	return m, json.Unmarshal(line, m)
}

// UseMoto returns the server and sets the environment so that the SDK's
// ordinary configuration leads to it.
func UseMoto(t testing.TB) *Moto {
	t.Helper()
	if testing.Short() {
		t.Skip("starts moto")
	}
	m, err := moto()
	if err != nil {
		t.Fatal(err)
	}
	Isolate(t)
	t.Setenv("AWS_ENDPOINT_URL", m.Endpoint)
	return m
}

// Become makes the server look at keys and rights until the test ends, and the
// environment that of a user.
func (m *Moto) Become(t testing.TB, user string) {
	t.Helper()
	m.enforce(t, "0")
	t.Cleanup(func() { m.enforce(t, "inf") })
	t.Setenv("AWS_ACCESS_KEY_ID", m.Users[user].ID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", m.Users[user].Secret)
}

// enforce sets after how many requests the server looks at rights.
func (m *Moto) enforce(t testing.TB, after string) {
	t.Helper()
	response, err := http.Post(m.Endpoint+"/moto-api/reset-auth", "text/plain", strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// SetJob puts a training job of moto, which it always completes at once, into
// another state.
func (m *Moto) SetJob(t testing.TB, name, status, secondary, reason string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	line, err := json.Marshal(map[string]string{"job": name, "status": status, "secondary": secondary, "reason": reason})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.stdin.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	answer, err := m.answers.ReadString('\n')
	if err != nil || answer != "ok\n" {
		t.Fatalf("moto: %s %v", answer, err)
	}
}
