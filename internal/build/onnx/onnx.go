// Package onnx reads, checks, builds and writes ONNX models. The types are those
// of the official onnx.proto, in package onnxpb.
//
// The package runs nothing (ONNX Runtime does) and changes nothing (package
// graphopt does). It is called by package mxnet, which makes ONNX models of
// MXNet's, by package graphopt, and by model-build.
package onnx

import (
	"errors"
	"fmt"

	"github.com/google/renameio/v2"
	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

//go:generate protoc --proto_path=onnxpb --go_out=onnxpb --go_opt=paths=source_relative --go_opt=Monnx.proto=github.com/brainseg/brainseg/internal/build/onnx/onnxpb onnx.proto

// Opset is the version of the operators that NewModel declares; IRVersion is that
// of the file format. Every ONNX Runtime since 1.12 reads them.
const (
	Opset     = 17
	IRVersion = 8
)

// MaxBytes is the largest file that Read takes, the same as the component's.
const MaxBytes = 1 << 30

// Errors by which a caller decides. Every error of this package wraps one of
// them, or that of the file system.
var (
	// ErrFormat: the file is not an ONNX model, or is cut short.
	ErrFormat = errors.New("this is not a readable ONNX model")
	// ErrModel: the model is readable and breaks a rule of ONNX, or of this
	// project.
	ErrModel = errors.New("the ONNX model is not valid")
)

// Read reads the model at path and checks it.
func Read(path string) (*onnxpb.ModelProto, error) {
	content, err := boundedfile.Read(path, MaxBytes)
	if errors.Is(err, boundedfile.ErrUnfit) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read an ONNX model: %w", err)
	}
	model, err := Parse(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return model, nil
}

// Parse reads a model from memory and checks it. The model shares no memory with
// content. One of more than a million parts or 64 levels is refused before it
// takes memory.
func Parse(content []byte) (*onnxpb.ModelProto, error) {
	model := new(onnxpb.ModelProto)
	if err := bounded(content, model.ProtoReflect().Descriptor()); err != nil {
		return nil, err
	}
	if err := proto.Unmarshal(content, model); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if model.Graph == nil {
		return nil, fmt.Errorf("%w: there is no graph in it", ErrFormat)
	}
	if err := Check(model); err != nil {
		return nil, err
	}
	return model, nil
}

// Marshal checks the model and returns its file. Equal models give equal bytes.
func Marshal(model *onnxpb.ModelProto) ([]byte, error) {
	if err := Check(model); err != nil {
		return nil, err
	}
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(model)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return content, nil
}

// Write checks the model and writes it to path, whole or not at all.
func Write(path string, model *onnxpb.ModelProto) error {
	content, err := Marshal(model)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write an ONNX model: %w", err)
	}
	return nil
}

// NewModel returns a model around graph, as yet unchecked.
func NewModel(graph *onnxpb.GraphProto, producer, producerVersion string) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		IrVersion:       proto.Int64(IRVersion),
		ProducerName:    proto.String(producer),
		ProducerVersion: proto.String(producerVersion),
		Graph:           graph,
		OpsetImport:     []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(Opset)}},
	}
}

// OpsetVersion returns the version of the ONNX operators that the model uses, 0
// where it names none.
func OpsetVersion(model *onnxpb.ModelProto) int64 {
	for _, set := range model.OpsetImport {
		if isDefaultDomain(set.GetDomain()) {
			return set.GetVersion()
		}
	}
	return 0
}

func isDefaultDomain(domain string) bool { return domain == "" || domain == "ai.onnx" }
