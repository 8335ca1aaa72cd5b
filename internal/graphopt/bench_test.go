package graphopt_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/graphopt"
	"github.com/brainseg/brainseg/internal/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/onnx/onnxtest"
)

// BenchmarkEnet times the trained ENet of the seed as it is converted and as it is
// optimised, in turns, on one thread, by the thread's own time. The variable BRAINSEG_ONNXRUNTIME names
// another ONNX Runtime than the component's:
//
//	go test ./internal/graphopt -run '^$' -bench Enet -benchtime 100x
func BenchmarkEnet(b *testing.B) {
	var network mxnettest.Network
	for _, n := range mxnettest.Networks(b, converters) {
		if n.Name == "enet-trained" {
			network = n
		}
	}
	plain := convert(b, network)
	variants := []struct {
		name  string
		opts  graphopt.Options
		run   func() time.Duration
		times []time.Duration
	}{
		{name: "plain"},
		{name: "optimised"},
		{name: "prelu-kept", opts: graphopt.Options{KeepPRelu: true}},
		{name: "x86-64", opts: graphopt.Options{Layout: true}},
	}
	const side = 256
	image := make([]uint8, side*side)
	for i := range image {
		image[i] = uint8(i * 7)
	}
	for i := range variants {
		v := &variants[i]
		model := plain
		if i > 0 {
			var err error
			if model, _, err = graphopt.Optimise(plain, v.opts); err != nil {
				b.Fatal(err)
			}
		}
		v.run = onnxtest.Open(b, model).Repeat(b, map[string]onnxtest.Tensor{"data": benchmarkInput(model, image, side)})
		v.run()
	}
	for b.Loop() {
		for i := range variants {
			v := &variants[i]
			v.times = append(v.times, v.run())
		}
	}
	medians := make([]float64, len(variants))
	for i := range variants {
		slices.Sort(variants[i].times)
		medians[i] = variants[i].times[len(variants[i].times)/2].Seconds() * 1e3
		b.ReportMetric(medians[i], fmt.Sprint("p50-ms-", variants[i].name))
	}
	for i := range variants[1:] {
		b.ReportMetric(medians[0]/medians[1+i], fmt.Sprint("times-faster-", variants[1+i].name))
	}
}

func benchmarkInput(model *onnxpb.ModelProto, image []uint8, side int64) onnxtest.Tensor {
	in := onnxtest.Tensor{Dims: []int64{1, 1, side, side}}
	if graphopt.TakesBytes(model) {
		in.Uint8 = image
		return in
	}
	for _, v := range image {
		in.Float = append(in.Float, float32(v))
	}
	return in
}
