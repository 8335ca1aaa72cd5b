package modelcheck

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func TestAModelGetsTheSliceAndTheMaskThatDevicesTestItWith(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(threshold)); err != nil {
		t.Fatal(err)
	}
	if err := WriteSelfTest(t.Context(), dir, awstest.Library(t)); err != nil {
		t.Fatal(err)
	}
	slice, err := readPNG(filepath.Join(dir, model.SelfTestSliceName))
	if err != nil {
		t.Fatal(err)
	}
	mask, err := readPNG(filepath.Join(dir, model.SelfTestMaskName))
	if err != nil {
		t.Fatal(err)
	}
	model, err := segmentation.Open(dir, segmentation.Options{Library: awstest.Library(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	want := make([]uint8, len(slice.Pix))
	if err := model.Segment(t.Context(), slice, want); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mask.Pix, want) || segmentation.Counts(want)[0] == len(want) {
		t.Error("the mask is not the model's")
	}
}

func TestTheSelfTestsSliceIsThePublicOne(t *testing.T) {
	public, err := os.ReadFile(filepath.Join("..", "..", "..", "artifacts", "samples", "whole-head", "axial-100.png"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(public, selfTestSlice) {
		t.Error("selftest.png is another slice")
	}
}
