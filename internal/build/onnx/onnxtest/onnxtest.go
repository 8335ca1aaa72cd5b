// Package onnxtest runs ONNX models in tests, in the ONNX Runtime that the
// component uses. Programs do not import it.
package onnxtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// LibraryVariable is the environment variable that names another
// libonnxruntime.so.1 than that of the fetch script, for measurements.
const LibraryVariable = "BRAINSEG_ONNXRUNTIME"

// Tensor is an input or output: of Float and Uint8 one is set.
type Tensor struct {
	Dims  []int64
	Float []float32
	Uint8 []uint8
}

var load = sync.OnceValue(func() error {
	library, err := libraryPath()
	if err != nil {
		return err
	}
	ort.SetSharedLibraryPath(library)
	return ort.InitializeEnvironment(ort.WithLogLevelError())
})

func libraryPath() (string, error) {
	if path := os.Getenv(LibraryVariable); path != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("ONNX Runtime is missing (run artifacts/onnxruntime/fetch.sh, or make test, which does): %w", err)
	}
	return path, nil
}

// RuntimeVersion is that of ONNX Runtime, once a model was opened.
func RuntimeVersion() string { return ort.GetVersion() }

// Session is a model that is ready to run.
type Session struct {
	session *ort.DynamicAdvancedSession
	inputs  []string
	outputs []string
}

// Open loads a model with one thread and all graph optimisations, as the
// component does. The test ends where that fails.
func Open(t testing.TB, model *onnxpb.ModelProto) *Session {
	t.Helper()
	s, err := TryOpen(model)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.session.Destroy() })
	return s
}

// TryOpen is Open for models that may be wrong. The session is never freed.
func TryOpen(model *onnxpb.ModelProto) (*Session, error) {
	if err := load(); err != nil {
		return nil, err
	}
	content, err := onnx.Marshal(model)
	if err != nil {
		return nil, err
	}
	s := new(Session)
	initializers := make(map[string]bool)
	for _, i := range model.Graph.Initializer {
		initializers[i.GetName()] = true
	}
	for _, in := range model.Graph.Input {
		if !initializers[in.GetName()] {
			s.inputs = append(s.inputs, in.GetName())
		}
	}
	for _, out := range model.Graph.Output {
		s.outputs = append(s.outputs, out.GetName())
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := errors.Join(
		options.SetIntraOpNumThreads(1),
		options.SetInterOpNumThreads(1),
		options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		options.SetLogSeverityLevel(ort.LoggingLevelFatal),
		options.SetMemPattern(false),
	); err != nil {
		return nil, err
	}
	s.session, err = ort.NewDynamicAdvancedSessionWithONNXData(content, s.inputs, s.outputs, options)
	return s, err
}

// Repeat returns a function that runs the model again and again on the same inputs,
// in tensors that stay, and returns the time that the calling thread has worked.
// Other programs on the machine disturb that less than time on the clock.
func (s *Session) Repeat(t testing.TB, inputs map[string]Tensor) (run func() time.Duration) {
	t.Helper()
	values, err := s.values(inputs)
	if err != nil {
		t.Fatal(err)
	}
	results := make([]ort.Value, len(s.outputs)) // the first run makes them
	t.Cleanup(func() {
		for _, v := range append(values, results...) {
			v.Destroy()
		}
	})
	return func() time.Duration {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before := threadTime()
		if err := s.session.Run(values, results); err != nil {
			t.Fatal(err)
		}
		return threadTime() - before
	}
}

func threadTime() time.Duration {
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &spent); err != nil {
		return 0
	}
	return time.Duration(spent.Nano())
}

// Run runs the model. The test ends where that fails.
func (s *Session) Run(t testing.TB, inputs map[string]Tensor) map[string]Tensor {
	t.Helper()
	outputs, err := s.TryRun(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

// values makes the tensors of the inputs.
func (s *Session) values(inputs map[string]Tensor) ([]ort.Value, error) {
	var values []ort.Value
	for _, name := range s.inputs {
		in, ok := inputs[name]
		if !ok {
			return nil, fmt.Errorf("the model takes the input %q, which the test does not give", name)
		}
		var value ort.Value
		var err error
		if in.Uint8 != nil {
			value, err = ort.NewTensor(ort.NewShape(in.Dims...), in.Uint8)
		} else {
			value, err = ort.NewTensor(ort.NewShape(in.Dims...), in.Float)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		values = append(values, value)
	}
	return values, nil
}

// TryRun is Run for inputs that may be wrong.
func (s *Session) TryRun(inputs map[string]Tensor) (map[string]Tensor, error) {
	values, err := s.values(inputs)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, v := range values {
			v.Destroy()
		}
	}()
	results := make([]ort.Value, len(s.outputs))
	if err := s.session.Run(values, results); err != nil {
		return nil, err
	}
	values = append(values, results...)
	outputs := make(map[string]Tensor)
	for i, result := range results {
		out := Tensor{Dims: append([]int64(nil), result.GetShape()...)}
		switch v := result.(type) {
		case *ort.Tensor[float32]:
			out.Float = append([]float32{}, v.GetData()...)
		case *ort.Tensor[uint8]:
			out.Uint8 = append([]uint8{}, v.GetData()...)
		default:
			return nil, fmt.Errorf("output %q is %T, neither float32 nor uint8", s.outputs[i], result)
		}
		outputs[s.outputs[i]] = out
	}
	return outputs, nil
}
