package modelcheck

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const measuredSide = 256

// Measure opens the model in the folder dir and times runs slices of 256 x 256,
// one by one; 50 where runs is 0. The memory it finds is the process': one that
// has done nothing else tells most. library is as Options have it.
func Measure(ctx context.Context, dir, library string, runs int) (*model.Measured, error) {
	memory := startMemory()
	opened, err := segmentation.Open(dir, segmentation.Options{Library: library})
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	c := &checker{opened: opened}
	if runs <= 0 {
		runs = 50
	}
	slice := phantom(measuredSide)
	for range 3 { // the first runs allocate
		if _, err := c.segment(ctx, slice); err != nil {
			return nil, err
		}
	}
	times := make([]float64, runs)
	used := processorTime()
	for i := range times {
		began := time.Now()
		if _, err := c.segment(ctx, slice); err != nil {
			return nil, err
		}
		times[i] = float64(time.Since(began)) / float64(time.Millisecond)
	}
	used = processorTime() - used
	slices.Sort(times)
	at := func(share float64) float64 {
		return math.Round(100*times[int(share*float64(len(times)-1))]) / 100
	}
	return &model.Measured{
		Processor: processor(), System: runtime.GOOS + "/" + runtime.GOARCH, ONNXRuntime: ort.GetVersion(),
		Width: measuredSide, Height: measuredSide, Runs: runs, P50: at(0.5), P90: at(0.9),
		CPU: math.Round(100*float64(used)/float64(time.Millisecond)/float64(runs)) / 100, PeakMemory: memory.peak(),
	}, nil
}

// processorTime is that of the process so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// phantom is a slice with something like a head on it: the time a model takes
// does not depend on more.
func phantom(side int) *image.Gray {
	slice := image.NewGray(image.Rect(0, 0, side, side))
	centre := float64(side-1) / 2
	for y := range side {
		for x := range side {
			r := math.Hypot((float64(x)-centre)/0.8, float64(y)-centre) / centre
			if r < 0.9 {
				slice.Pix[y*side+x] = uint8(60 + 160*(1-r) + 20*math.Sin(float64(x)/5)*math.Cos(float64(y)/7))
			}
		}
	}
	return slice
}

// memoryMeter finds the largest resident memory from its start on.
type memoryMeter struct{ works bool }

func startMemory() *memoryMeter {
	debug.FreeOSMemory()
	// Linux takes this as: forget the peak up to now.
	err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	return &memoryMeter{works: err == nil}
}

// peak returns megabytes, 0 where the system does not tell.
func (m *memoryMeter) peak() float64 {
	if !m.works {
		return 0
	}
	kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(procField("/proc/self/status", "VmHWM"), " kB"), 64)
	if err != nil {
		return 0
	}
	return math.Round(kilobytes*1024/1e5) / 10
}

// processor names the machine's.
func processor() string {
	for _, field := range []string{"model name", "Model"} {
		if name := procField("/proc/cpuinfo", field); name != "" {
			return fmt.Sprintf("%s, %d cores", name, runtime.NumCPU())
		}
	}
	return fmt.Sprintf("%d cores", runtime.NumCPU())
}

// procField returns the value of the first line "name: value".
func procField(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// RuntimeVersion opens the model in the folder dir, as the component would, and
// returns the version of ONNX Runtime that did. library is as Options have it.
func RuntimeVersion(dir, library string) (string, error) {
	opened, err := segmentation.Open(dir, segmentation.Options{Library: library})
	if err != nil {
		return "", err
	}
	return ort.GetVersion(), opened.Close()
}
