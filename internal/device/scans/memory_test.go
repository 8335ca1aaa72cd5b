package scans

import (
	"errors"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
)

func TestAScanForWhichThereIsNoMemoryIsRefused(t *testing.T) {
	const voxels = 24 * 24 * 24
	for _, tt := range []struct {
		name        string
		read, after int64 // bytes that are left before the scan is read, and after it
		refused     bool
	}{
		{"for reading it", voxels * (bytesPerVoxel - 1), 1 << 30, true},
		{"just enough", voxels * bytesPerVoxel, voxels * bytesPerNetworkVoxel, false},
		{"none is told", 1<<63 - 1, 1<<63 - 1, false},
	} {
		left := []int64{tt.read, tt.after}
		_, err := Segment(t.Context(), small(t), levels{model.Tissues}, Options{Memory: func() int64 { l := left[0]; left = left[1:]; return l }})
		var refusal *volume.Refusal
		refused := errors.As(err, &refusal) && refusal.Code == volume.CodeTooLarge && strings.Contains(err.Error(), "memory")
		if refused != tt.refused || !refused && err != nil {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestAScanForWhichThereIsNoMemoryAtTheNetworksSizeIsRefused(t *testing.T) {
	left := []int64{1 << 30, 1000}
	_, err := Segment(t.Context(), inputs+"n-las.nii.gz", levels{model.Tissues}, Options{Memory: func() int64 { l := left[0]; left = left[1:]; return l }})
	var refusal *volume.Refusal
	if !errors.As(err, &refusal) || refusal.Code != volume.CodeTooLarge || !strings.Contains(err.Error(), "memory") {
		t.Errorf("error %v", err)
	}
}
