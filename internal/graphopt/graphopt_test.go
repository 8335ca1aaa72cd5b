package graphopt_test

import (
	"testing"

	"github.com/brainseg/brainseg/internal/onnx"
	"github.com/brainseg/brainseg/internal/onnx/onnxpb"
)

func marshal(t testing.TB, model *onnxpb.ModelProto) []byte {
	t.Helper()
	content, err := onnx.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
