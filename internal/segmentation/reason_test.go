package segmentation

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/model"
)

func TestNoMessageNamesASourceFileOfONNXRuntime(t *testing.T) {
	network, err := os.ReadFile(filepath.Join("testdata", "models", "threshold", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if network[0] != 8 {
		t.Fatal("the network does not begin with its version")
	}
	network[1] = 99 // no such version
	var manifest map[string]any
	document, err := os.ReadFile(filepath.Join("testdata", "models", "threshold", model.ManifestName))
	if err == nil {
		err = json.Unmarshal(document, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	manifest["sha256"] = fmt.Sprintf("%x", sha256.Sum256(network))
	if document, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"model.onnx": network, model.ManifestName: document} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Open(dir, Options{Library: library(t)})
	if !errors.Is(err, model.ErrNetwork) || !strings.Contains(err.Error(), "Unsupported model IR version") || strings.Contains(err.Error(), ".cc") || strings.Contains(err.Error(), "::") {
		t.Errorf("error %v", err)
	}
}

func TestReasonsLeaveOutTheSourceOfONNXRuntime(t *testing.T) {
	for text, want := range map[string]string{
		"Error creating C session: /onnxruntime_src/onnxruntime/core/graph/model.cc:181 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, const onnxruntime::IOnnxRuntimeOpSchemaRegistryList*, const onnxruntime::logging::Logger&, const onnxruntime::ModelOptions&) Unsupported model IR version: 25, max supported IR version: 11\n":                                             "Unsupported model IR version: 25, max supported IR version: 11",
		"Error running network: Non-zero status code returned while running Reshape node. Name:'r' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:44 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == size was false. The input tensor cannot be reshaped to the requested shape.": "Non-zero status code returned while running Reshape node. Name:'r' Status Message: input_shape_size == size was false. The input tensor cannot be reshaped to the requested shape.",
		"Error creating C session: This is an invalid model. In Node, (\"\", Zauber, \"\", -1) : (\"x\": tensor(float),) -> (\"y\",) , Error No Op registered for Zauber":                                                                                                                                                                                                                                        "This is an invalid model. In Node, (\"\", Zauber, \"\", -1) : (\"x\": tensor(float),) -> (\"y\",) , Error No Op registered for Zauber",
		"/build/onnxruntime/core/session/inference_session.cc:1997 onnxruntime::InferenceSession::Initialize()::<lambda()> status.IsOK() was false":                                                                                                                                                                                                                                                              "status.IsOK() was false",
		"out of memory": "out of memory",
	} {
		if got := reason(errors.New(text)).Error(); got != want {
			t.Errorf("%q\nis %q\nand not %q", text, got, want)
		}
	}
	if !errors.Is(reason(context.Canceled), context.Canceled) {
		t.Error("another error is lost")
	}
}
