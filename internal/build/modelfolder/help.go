package modelfolder

import (
	"fmt"
	"strconv"
	"strings"
)

// Cures says, for people, what can be done about a model that Convert refuses.
const Cures = "Where the network takes images of one size only, the message names the layer that fixes it, and why: FullyConnected\n" +
	"behind Flatten (take a convolution or global pooling instead), Reshape or slices with sizes as numbers (0 and -1, or\n" +
	"slice_like), Deconvolution or UpSampling to a size (a stride or scale), pooling of convention full or as wide as the\n" +
	"image. Change that layer in the script, load the parameters again, train where their shapes have changed, and save it.\n\n" +
	"Where an operator is not known, save the network with known ones in its place, leave out outputs that only training\n" +
	"needs by --output, or export it to ONNX by other means, such as mx.onnx.export_model of MXNet, and give NAME.onnx with\n" +
	"--manifest."

// ParseShapes reads shapes of inputs, each NAME=SIZE,SIZE,…, by name.
func ParseShapes(texts []string) (map[string][]int64, error) {
	shapes := make(map[string][]int64)
	for _, text := range texts {
		name, sizes, _ := strings.Cut(text, "=")
		var shape []int64
		for size := range strings.SplitSeq(sizes, ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 32)
			if err != nil || n < 1 || name == "" {
				return nil, fmt.Errorf("%q must be like data=1,1,256,256", text)
			}
			shape = append(shape, n)
		}
		shapes[name] = shape
	}
	return shapes, nil
}
