package sagemaker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/build/hosting"
)

// BenchmarkTransformJobBesideSegment works 1,000 slices off by a transform job and
// by the command segment, in turns, each from the start of its process to its end,
// on the same processors as the one who plays the service. At least 0.95 of the
// command's throughput is what is asked for. The ratio of the processes' times on
// processors says as much where others are at work, too:
//
//	make bench-transform
func BenchmarkTransformJobBesideSegment(b *testing.B) {
	const count = 1000
	s := newSite(b, "")
	in := b.TempDir()
	samples, err := filepath.Glob(filepath.Join(root, "artifacts", "samples", "*", "*.png"))
	if err != nil || len(samples) == 0 {
		b.Fatal("no samples", err)
	}
	var files []string
	for i := range count {
		files = append(files, filepath.Join(in, fmt.Sprintf("%04d.png", i)))
		write(b, files[i], read(b, samples[i%len(samples)]))
	}
	program := filepath.Join(root, "dist", "image", runtime.GOARCH, "brainseg")
	j := job(b, hosting.Slices, "")
	segment := func() (took, cpu time.Duration) {
		start := time.Now()
		command := exec.Command(program, append([]string{"segment", "--out", b.TempDir()}, files...)...)
		if output, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%v: %.1000s", err, output)
		}
		return time.Since(start), command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	}
	transform := func() (took, cpu time.Duration) {
		out, start := b.TempDir(), time.Now()
		c, p := s.start(b, j.Env()...)
		if err := j.Run(b.Context(), c, in, out); err != nil {
			b.Fatal(err)
		}
		if err := p.Terminate(); err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(time.Minute); err != nil {
			b.Fatal(err)
		}
		took = time.Since(start)
		if made, err := os.ReadDir(out); err != nil || len(made) != count {
			b.Fatalf("%d of %d outputs, %v", len(made), count, err)
		}
		return took, p.CPU()
	}
	var ratios, cpuRatios, commands, jobs []float64
	for b.Loop() {
		var command, job, commandCPU, jobCPU time.Duration
		if len(ratios)%2 == 0 {
			command, commandCPU = segment()
			job, jobCPU = transform()
		} else {
			job, jobCPU = transform()
			command, commandCPU = segment()
		}
		ratios, cpuRatios = append(ratios, command.Seconds()/job.Seconds()), append(cpuRatios, commandCPU.Seconds()/jobCPU.Seconds())
		commands, jobs = append(commands, command.Seconds()), append(jobs, job.Seconds())
	}
	for name, values := range map[string][]float64{"ratio": ratios, "cpu-ratio": cpuRatios, "segment-s": commands, "job-s": jobs} {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
}
