// Package mxnet reads models that Apache MXNet saved, of versions 0.8 to 1.9: a
// graph (model-symbol.json), its parameters (model-0000.params) and, where it is
// there, the shapes of the inputs (model-shapes.json, which SageMaker's MXNet
// containers write).
//
// It needs no MXNet, runs nothing and converts nothing. Package toonnx makes ONNX
// of what it has read.
package mxnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/boundedfile"
)

// Errors by which a caller decides. Every error of this package wraps one of
// them, or that of the file system.
var (
	// ErrFormat: a file is not what MXNet writes, or is cut short.
	ErrFormat = errors.New("this is not a readable MXNet model")
	// ErrUnsupported: the model uses something that has no conversion.
	ErrUnsupported = errors.New("the MXNet model cannot be converted")
	// ErrModel: the model contradicts itself: parameters are missing, or shapes
	// do not fit together.
	ErrModel = errors.New("the MXNet model is not consistent")
)

// ShapeError says that a variable has neither a value in the params file nor a
// shape: it is an input of the network whose shape has to be given, or the files
// are not those of one model. It wraps ErrModel.
type ShapeError struct{ Variable string }

func (e *ShapeError) Error() string {
	return fmt.Sprintf("%v: the variable %q has no shape, and no value in the params file", ErrModel, e.Variable)
}

// Unwrap makes it an ErrModel.
func (e *ShapeError) Unwrap() error { return ErrModel }

// Bounds of the files, far above any model of the time.
const (
	maxParamsBytes = 1 << 30
	maxSymbolBytes = 64 << 20
	maxShapesBytes = 1 << 20
)

const (
	symbolSuffix = "-symbol.json"
	// ShapesSuffix ends the name of the file with the shapes of the inputs.
	ShapesSuffix = "-shapes.json"
	paramsSuffix = ".params"
)

// Model is a model as MXNet saved it.
type Model struct {
	Symbol *Symbol
	// Params by name, without the prefixes arg: and aux:.
	Params map[string]*Array
	// Shapes of the inputs by name, nil where no file tells them.
	Shapes map[string][]int64
}

// Load reads a model. The path is that of the symbol (PREFIX-symbol.json), or of
// a folder with one such file in it. The parameters are the one file
// PREFIX-NNNN.params beside it; LoadFiles takes one of several.
func Load(path string) (*Model, error) {
	symbol, err := findSymbol(path)
	if err != nil {
		return nil, fmt.Errorf("find the MXNet model: %w", err)
	}
	prefix := strings.TrimSuffix(symbol, symbolSuffix)
	params, err := findOne(filepath.Dir(symbol), func(name string) bool {
		number, ok := strings.CutPrefix(name, filepath.Base(prefix)+"-")
		number, suffixed := strings.CutSuffix(number, paramsSuffix)
		return ok && suffixed && len(number) >= 4 && strings.Trim(number, "0123456789") == ""
	}, filepath.Base(prefix)+"-NNNN"+paramsSuffix)
	if err != nil {
		return nil, fmt.Errorf("find the parameters of %s: %w", symbol, err)
	}
	shapes := prefix + ShapesSuffix
	if _, err := os.Stat(shapes); errors.Is(err, fs.ErrNotExist) {
		shapes = ""
	}
	return LoadFiles(symbol, params, shapes)
}

func findSymbol(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		if !strings.HasSuffix(path, symbolSuffix) {
			return "", fmt.Errorf("%w: %s must be a folder or end in %s", ErrFormat, path, symbolSuffix)
		}
		return path, nil
	}
	return findOne(path, func(name string) bool { return strings.HasSuffix(name, symbolSuffix) }, "*"+symbolSuffix)
}

// findOne returns the one file of a folder whose name fits.
func findOne(dir string, fits func(name string) bool, pattern string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, entry := range entries {
		if !entry.IsDir() && fits(entry.Name()) {
			found = append(found, entry.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w: there is no %s in %s", ErrFormat, pattern, dir)
	case 1:
		return filepath.Join(dir, found[0]), nil
	}
	return "", fmt.Errorf("%w: %s has several %s (%s); leave the one to convert", ErrFormat, dir, pattern, strings.Join(found, ", "))
}

// LoadFiles reads a model from its files; shapes may be "".
func LoadFiles(symbol, params, shapes string) (*Model, error) {
	m := new(Model)
	content, err := readFile(symbol, maxSymbolBytes)
	if err != nil {
		return nil, fmt.Errorf("read the symbol: %w", err)
	}
	if m.Symbol, err = ParseSymbol(content); err != nil {
		return nil, fmt.Errorf("read %s: %w", symbol, err)
	}
	if content, err = readFile(params, maxParamsBytes); err != nil {
		return nil, fmt.Errorf("read the parameters: %w", err)
	}
	if m.Params, err = ParseParams(content); err != nil {
		return nil, fmt.Errorf("read %s: %w", params, err)
	}
	if shapes == "" {
		return m, nil
	}
	if content, err = readFile(shapes, maxShapesBytes); err != nil {
		return nil, fmt.Errorf("read the shapes: %w", err)
	}
	if m.Shapes, err = parseShapes(content); err != nil {
		return nil, fmt.Errorf("read %s: %w", shapes, err)
	}
	return m, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	content, err := boundedfile.Read(path, limit)
	if errors.Is(err, boundedfile.ErrUnfit) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return content, err
}

// HasInput reports whether the network has a variable of that name without a
// value, as inputs are.
func (m *Model) HasInput(name string) bool {
	return m.Params[name] == nil && slices.ContainsFunc(m.Symbol.Nodes, func(n Node) bool { return n.Op == Variable && n.Name == name })
}

// parseShapes reads [{"name": "data", "shape": [1, 1, 208, 176]}, ...].
func parseShapes(content []byte) (map[string][]int64, error) {
	var list []struct {
		Name  string  `json:"name"`
		Shape []int64 `json:"shape"`
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	shapes := make(map[string][]int64)
	for _, entry := range list {
		if err := CheckInputShape(entry.Shape); err != nil || entry.Name == "" {
			return nil, fmt.Errorf("%w: input %q has the shape %v", ErrFormat, entry.Name, entry.Shape)
		}
		shapes[entry.Name] = entry.Shape
	}
	return shapes, nil
}

// Inputs have few axes, and sizes whose products overflow nothing.
const (
	// MaxAxes is the largest number of axes of a tensor.
	MaxAxes      = 8
	maxDimension = 1 << 20
)

// CheckInputShape refuses a shape that no input of a network has.
func CheckInputShape(shape []int64) error {
	if len(shape) == 0 || len(shape) > MaxAxes {
		return fmt.Errorf("shape %v must have 1 to %d axes", shape, MaxAxes)
	}
	for _, d := range shape {
		if d < 1 || d > maxDimension {
			return fmt.Errorf("shape %v must have sizes of 1 to %d", shape, maxDimension)
		}
	}
	return nil
}
