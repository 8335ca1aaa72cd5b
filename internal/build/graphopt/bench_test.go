package graphopt_test

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
	"github.com/brainseg/brainseg/internal/imaging"
)

// BenchmarkEnet times the trained ENet of 2018 as it is converted and as it is
// optimised, in turns, on one thread, and prints a table. What counts is the
// thread's own time, because other programs on the machine disturb it least.
// `make bench-optimize` runs it on two versions of ONNX Runtime; the variable
// BRAINSEG_ONNXRUNTIME names the library of another than the component's.
//
// The slice is a real one: the time of PRelu in newer versions depends on how well
// a processor can foretell the signs, and in patterns it can. The sizes are that of
// the slices of 2018, and that which model-build measures.
func BenchmarkEnet(b *testing.B) {
	for _, size := range [][2]int{{208, 176}, {256, 256}} {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) { benchmarkEnet(b, size[0], size[1]) })
	}
}

func benchmarkEnet(b *testing.B, height, width int) {
	var network mxnettest.Network
	for _, n := range mxnettest.Networks(b, converters) {
		if n.Name == "enet-trained" {
			network = n
		}
	}
	converted := convert(b, network)
	variants := []struct {
		name  string
		opts  graphopt.Options
		run   func() time.Duration
		own   []time.Duration // the thread's
		clock []time.Duration
	}{
		{name: "converted"},
		{name: "optimised"},
		{name: "optimised, PRelu kept", opts: graphopt.Options{KeepPRelu: true}},
		{name: "optimised for x86-64", opts: graphopt.Options{Layout: true}},
	}
	slice := sampleSlice(b, height, width)
	for i := range variants {
		v := &variants[i]
		model := converted
		if i > 0 {
			var err error
			if model, _, err = graphopt.Optimise(converted, v.opts); err != nil {
				b.Fatal(err)
			}
		}
		v.run = onnxtest.Open(b, model).Repeat(b, map[string]onnxtest.Tensor{"data": benchmarkInput(model, slice)})
		for range 3 { // the first runs allocate
			v.run()
		}
	}
	for b.Loop() {
		for i := range variants {
			v := &variants[i]
			began := time.Now()
			v.own = append(v.own, v.run())
			v.clock = append(v.clock, time.Since(began))
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nENet, %d x %d, ONNX Runtime %s, %d runs\tp50 of the thread\tp50 on the clock\ttimes faster\n",
		height, width, onnxtest.RuntimeVersion(), len(variants[0].own))
	plain := median(variants[0].own)
	for _, v := range variants {
		own := median(v.own)
		fmt.Fprintf(table, "%s\t%.2f ms\t%.2f ms\t%.2f\n", v.name, own, median(v.clock), plain/own)
	}
	if err := table.Flush(); err != nil {
		b.Fatal(err)
	}
}

// median is in milliseconds.
func median(times []time.Duration) float64 {
	slices.Sort(times)
	return times[len(times)/2].Seconds() * 1e3
}

// sampleSlice is a slice of the repository's, brought to a size by taking the
// nearest pixels.
func sampleSlice(b *testing.B, height, width int) *image.Gray {
	b.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "artifacts", "samples", "whole-head", "axial-085.png"))
	if err != nil {
		b.Fatal(err)
	}
	sample, _, err := imaging.Decode(content, imaging.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			slice.Pix[y*width+x] = sample.Pix[y*sample.Rect.Dy()/height*sample.Stride+x*sample.Rect.Dx()/width]
		}
	}
	return slice
}

func benchmarkInput(model *onnxpb.ModelProto, slice *image.Gray) onnxtest.Tensor {
	in := onnxtest.Tensor{Dims: []int64{1, 1, int64(slice.Rect.Dy()), int64(slice.Rect.Dx())}}
	if graphopt.TakesBytes(model) {
		in.Uint8 = slice.Pix
		return in
	}
	for _, v := range slice.Pix {
		in.Float = append(in.Float, float32(v))
	}
	return in
}
