package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/brainseg/brainseg/internal/model"
)

// contestant is a program that segments slices.
type contestant interface {
	name() string
	// start starts the process and returns when it can take a slice.
	start(ctx context.Context) error
	// slice makes the mask of the PNG at in, at out, and returns how long that
	// took: for a child inside of it, otherwise from request to answer.
	slice(ctx context.Context, in, out string) (time.Duration, error)
	// pid is the process' number, 0 while there is none.
	pid() int
	stop()
}

// runner is a contestant that can repeat the network alone, on its last slice.
type runner interface {
	run(ctx context.Context, n int) ([]time.Duration, error)
}

// contestants lists them, the floor first and the component last.
func contestants(ctx context.Context, s settings, m *model.Manifest) ([]contestant, error) {
	n := m.Normalisation
	if m.Input.Name != "image" || m.Input.Type != "uint8" || n.Input != "window" || m.Output.Name != "mask" || m.Output.Type != "uint8" {
		return nil, errUnsupportedModel
	}
	network := filepath.Join(s.model, m.File)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	rule := []string{strconv.Itoa(m.Input.SizeMultiple), number(n.Low), number(n.High), strconv.Itoa(n.IgnoreBelowOrEqual)}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	python := filepath.Join(s.build, "venv", "bin", "python")
	plain := filepath.Join(s.build, "plain.onnx")
	export := exec.CommandContext(ctx, python, filepath.Join(s.python, "plain_export.py"), network, plain, strconv.Itoa(len(m.Classes)))
	if output, err := export.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make the plain export: %w\n%s", err, output)
	}
	list := []contestant{
		&child{title: "C API and libpng", command: append([]string{filepath.Join(s.build, "c"), network}, rule...)},
		&child{title: "Go, in process", command: []string{self, goContestantCommand, s.model, s.library, s.work}},
		&child{title: "Node, sharp", command: append([]string{"node", filepath.Join(s.node, "contestant.mjs"), network}, rule...)},
		&flask{python: python, script: filepath.Join(s.python, "server.py"), model: plain, rule: rule},
	}
	if _, err := os.Stat(s.component); err != nil {
		return nil, fmt.Errorf("the component's program is missing: %w", err)
	}
	component, err := newComponent(ctx, s)
	if err != nil {
		return nil, err
	}
	return append(list, component), nil
}

// process is a running contestant.
type process struct {
	command *exec.Cmd
	log     *os.File // what it says on standard error
}

func (p *process) pid() int {
	if p.command == nil {
		return 0
	}
	return p.command.Process.Pid
}

// launch starts the program. What it writes to standard error is kept for the
// case that it fails.
func (p *process) launch(c *exec.Cmd) error {
	log, err := os.CreateTemp("", "brainseg-benchmark-log-")
	if err != nil {
		return err
	}
	os.Remove(log.Name())
	c.Stderr = log
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		log.Close()
		return err
	}
	p.command, p.log = c, log
	return nil
}

// failed adds what the program said last to err.
func (p *process) failed(name string, err error) error {
	said := ""
	if p.log != nil {
		if info, statErr := p.log.Stat(); statErr == nil {
			tail := make([]byte, min(info.Size(), 2000))
			p.log.ReadAt(tail, info.Size()-int64(len(tail)))
			said = strings.TrimSpace(string(tail))
		}
	}
	return fmt.Errorf("%s: %w\n%s", name, err, said)
}

func (p *process) stop() {
	if p.command == nil {
		return
	}
	p.command.Process.Signal(syscall.SIGTERM)
	p.command.Wait()
	p.log.Close()
	p.command, p.log = nil, nil
}

// child is a contestant that reads commands from standard input and answers
// each with a line of nanoseconds.
type child struct {
	process
	title   string
	command []string
	input   io.WriteCloser
	output  *bufio.Scanner
}

func (c *child) name() string { return c.title }

func (c *child) start(ctx context.Context) error {
	command := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	c.input, c.output = input, bufio.NewScanner(output)
	c.output.Buffer(nil, 1<<20)
	if err := c.launch(command); err != nil {
		return fmt.Errorf("%s: %w", c.title, err)
	}
	return nil
}

func (c *child) slice(_ context.Context, in, out string) (time.Duration, error) {
	times, err := c.ask("slice " + in + " " + out)
	if err != nil {
		return 0, err
	}
	return times[0], nil
}

func (c *child) run(_ context.Context, n int) ([]time.Duration, error) {
	return c.ask("run " + strconv.Itoa(n))
}

func (c *child) ask(line string) ([]time.Duration, error) {
	if _, err := fmt.Fprintln(c.input, line); err != nil {
		return nil, c.failed(c.title, err)
	}
	if !c.output.Scan() {
		return nil, c.failed(c.title, errors.Join(errors.New("the program ended"), c.output.Err()))
	}
	var times []time.Duration
	for _, field := range strings.Fields(c.output.Text()) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, c.failed(c.title, err)
		}
		times = append(times, time.Duration(n))
	}
	if len(times) == 0 {
		return nil, c.failed(c.title, errors.New("the answer is empty"))
	}
	return times, nil
}
