package mxnettest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

type object = map[string]any

// The component's own package runs what conversion and optimisation made, and its
// masks are MXNet's.
func TestTheComponentRunsTheNetworksOf2018(t *testing.T) {
	library := filepath.Join("..", "..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	for _, network := range mxnettest.Networks(t, "..") {
		for _, opts := range []graphopt.Options{{}, {KeepPRelu: true}, {Layout: true}} {
			t.Run(network.Name, func(t *testing.T) {
				converted, report, err := toonnx.Convert(network.Model, toonnx.Options{})
				if err != nil {
					t.Fatal(err)
				}
				optimised, _, err := graphopt.Optimise(converted, opts)
				if err != nil {
					t.Fatal(err)
				}
				content, err := onnx.Marshal(optimised)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(content)
				manifest, err := json.Marshal(object{
					"schemaVersion": 1, "name": network.Name, "version": "1.0.0", "file": "model.onnx", "sha256": hex.EncodeToString(sum[:]),
					"input":         object{"name": optimised.Graph.Input[0].GetName(), "type": "uint8", "layout": "NCHW", "channels": 1, "sizeMultiple": report.SizeMultiple},
					"normalisation": object{"kind": "none"},
					"output":        object{"name": graphopt.MaskName, "type": "uint8", "layout": "NHW"},
					"classes": []object{
						{"value": 0, "name": "background", "colour": "#000000"}, {"value": 1, "name": "csf", "colour": "#3b7dd8"},
						{"value": 2, "name": "grey", "colour": "#7f7f7f"}, {"value": 3, "name": "white", "colour": "#f2f2f2"},
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				for name, content := range map[string][]byte{"model.onnx": content, model.ManifestName: manifest} {
					if err := os.WriteFile(filepath.Join(dir, name), content, 0o640); err != nil {
						t.Fatal(err)
					}
				}
				model, err := segmentation.Open(dir, segmentation.Options{Library: library})
				if err != nil {
					t.Fatal(err)
				}
				defer model.Close()
				for _, slice := range network.Slices {
					height, width := int(slice.Image.Shape[0]), int(slice.Image.Shape[1])
					mask := make([]uint8, height*width)
					grey := &image.Gray{Pix: slice.Image.Bytes, Stride: width, Rect: image.Rect(0, 0, width, height)}
					if err := model.Segment(t.Context(), grey, mask); err != nil {
						t.Fatal(err)
					}
					differ := 0
					for i, class := range mask {
						for other := range 4 {
							if slice.Softmax.Floats[other*len(mask)+i] > slice.Softmax.Floats[int(class)*len(mask)+i] {
								differ++
								break
							}
						}
					}
					if differ*10000 > len(mask) {
						t.Errorf("%d of %d pixels differ from MXNet's", differ, len(mask))
					}
				}
			})
		}
	}
}
