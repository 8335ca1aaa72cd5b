package container

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running container.
type Process struct {
	command *exec.Cmd
	pid     int // of the program, outside
	output  *buffer
	ended   chan struct{}
	err     error // set before ended is closed
}

// Start runs the image's program in root, with arguments in place of the image's
// own where there are any, as a container engine does. environment is added to the
// image's. The test is skipped where this machine lets nobody do that.
func (i *Image) Start(t testing.TB, root string, arguments, environment []string) *Process {
	t.Helper()
	if err := protect(root); err != nil {
		t.Fatal(err)
	}
	user := strconv.Itoa(i.User)
	isolation := []string{"--user", "--map-user=" + user, "--map-group=" + user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if output, err := exec.Command("unshare", append(isolation, "true")...).CombinedOutput(); err != nil {
		t.Skipf("the container was NOT tried: this machine gives no namespaces to its users (unshare: %v %s)", err, bytes.TrimSpace(output))
	}
	if len(arguments) == 0 {
		arguments = i.Command
	}
	command := exec.Command("unshare", append(append(isolation, "--root="+root, "--wd="+i.Workdir, "--"), append(i.Entrypoint, arguments...)...)...)
	command.Env = append(append([]string{"PATH=/usr/bin"}, i.Env...), environment...)
	p := &Process{command: command, output: new(buffer), ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.output, p.output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-p.ended
	})
	var err error
	if p.pid, err = p.child(); err != nil {
		t.Fatalf("%v: %s", err, p.Output())
	}
	return p
}

// child waits for the program's process, the only child of unshare.
func (p *Process) child() (int, error) {
	outside := strconv.Itoa(p.command.Process.Pid)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		children, err := os.ReadFile(filepath.Join("/proc", outside, "task", outside, "children"))
		if err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(children))); err == nil {
				return pid, nil
			}
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("the container ended (%v)", p.err)
		default:
		}
	}
	return 0, fmt.Errorf("the container does not start")
}

// Terminate sends SIGTERM, as the service does before it removes a container.
func (p *Process) Terminate() error { return syscall.Kill(p.pid, syscall.SIGTERM) }

// Wait returns the exit status once the program has ended, which it must within
// limit.
func (p *Process) Wait(limit time.Duration) (int, error) {
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("the container has not ended after %v", limit)
	}
}

// CPU is the time on processors that the program took, once it has ended.
func (p *Process) CPU() time.Duration {
	return p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Output is what the program has written.
func (p *Process) Output() string { return p.output.String() }

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
