package mxnettest

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/build/mxnet"
)

// FullVariable is the environment variable that names a folder with networks that
// are too large to commit; generate_networks.py --full writes them.
const FullVariable = "BRAINSEG_MXNET_NETWORKS"

// Network is a model and what MXNet made of some slices with it.
type Network struct {
	Name   string
	Folder string
	Model  *mxnet.Model
	Slices []Slice
}

// Slice is a grey slice, height x width, and its scores, 1 x 4 x height x width.
type Slice struct {
	Image   Array
	Softmax Array
}

// Networks reads the networks in testdata/reference/networks below dir, the folder
// of package mxnet, and those of FullVariable.
func Networks(t testing.TB, dir string) []Network {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, "testdata", "reference", "networks", "*"))
	if err != nil || len(folders) < 4 {
		t.Fatalf("networks %v, %v", folders, err)
	}
	if full := os.Getenv(FullVariable); full != "" {
		more, err := filepath.Glob(filepath.Join(full, "*"))
		if err != nil || len(more) == 0 {
			t.Fatalf("%s=%s has no networks: %v", FullVariable, full, err)
		}
		folders = append(folders, more...)
	}
	var networks []Network
	for _, folder := range folders {
		networks = append(networks, readNetwork(t, folder))
	}
	return networks
}

func readNetwork(t testing.TB, folder string) Network {
	t.Helper()
	n := Network{Name: filepath.Base(folder), Folder: folder}
	var err error
	if _, missing := os.Stat(filepath.Join(folder, "model-0000.params")); errors.Is(missing, fs.ErrNotExist) {
		n.Model, err = withHashedWeights(folder)
	} else {
		n.Model, err = mxnet.Load(folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	arrays := ReadNpz(t, filepath.Join(folder, "reference.npz"))
	for i := 0; ; i++ {
		image, ok := arrays[fmt.Sprint("image/", i)]
		if !ok {
			break
		}
		n.Slices = append(n.Slices, Slice{Image: image, Softmax: arrays[fmt.Sprint("softmax/", i)]})
	}
	if len(n.Slices) == 0 {
		t.Fatalf("%s has no slices", folder)
	}
	return n
}

// withHashedWeights gives a symbol the weights that weights.py gave it.
func withHashedWeights(folder string) (*mxnet.Model, error) {
	content, err := os.ReadFile(filepath.Join(folder, "weights.json"))
	if err != nil {
		return nil, err
	}
	var parameters []struct {
		Name  string     `json:"name"`
		Shape []int64    `json:"shape"`
		Range [2]float64 `json:"range"`
	}
	if err := json.Unmarshal(content, &parameters); err != nil {
		return nil, err
	}
	model := &mxnet.Model{Params: make(map[string]*mxnet.Array)}
	for _, p := range parameters {
		n := int64(1)
		for _, size := range p.Shape {
			n *= size
		}
		model.Params[p.Name] = mxnet.NewArray(p.Shape, hashed(p.Name, n, p.Range[0], p.Range[1]))
	}
	if content, err = os.ReadFile(filepath.Join(folder, "model-symbol.json")); err != nil {
		return nil, err
	}
	if model.Symbol, err = mxnet.ParseSymbol(content); err != nil {
		return nil, err
	}
	var shapes []struct {
		Name  string  `json:"name"`
		Shape []int64 `json:"shape"`
	}
	if content, err = os.ReadFile(filepath.Join(folder, "model-shapes.json")); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &shapes); err != nil {
		return nil, err
	}
	model.Shapes = make(map[string][]int64)
	for _, s := range shapes {
		model.Shapes[s.Name] = s.Shape
	}
	return model, nil
}

// hashed is weights.hashed of the generator: SplitMix64 of name and index, between
// low and high.
func hashed(name string, n int64, low, high float64) []float32 {
	low, high = float64(float32(low)), float64(float32(high))
	base := uint64(crc32.ChecksumIEEE([]byte(name))) << 32
	values := make([]float32, n)
	for i := range values {
		x := (base + uint64(i) + 1) * 0x9E3779B97F4A7C15
		x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
		x = (x ^ x>>27) * 0x94D049BB133111EB
		x ^= x >> 31
		values[i] = float32(low + (high-low)*(float64(x>>40)/(1<<24)))
	}
	return values
}
