package diskqueue

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// writeScan writes a scan of 24 voxels of 1 mm a side, brighter towards the front.
func writeScan(t *testing.T, path string) {
	t.Helper()
	const side = 24
	v := volume.Labels{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]uint8, v.Voxels())
	for i := range v.Values {
		v.Values[i] = uint8(10 * (i / side % side))
	}
	if err := report.WriteFile(path, func(w io.Writer) error { return nifti.WriteLabels(w, &v, nil) }); err != nil {
		t.Fatal(err)
	}
}

func TestAScanInWorkIsWorkedOnAgainByTheNextProcess(t *testing.T) {
	folder, out, in := filepath.Join(t.TempDir(), "queue"), t.TempDir(), t.TempDir()
	writeScan(t, filepath.Join(in, "head.nii.gz"))
	b := start(t, folder, out, in)
	asked := request.Request{
		ID: "head", Image: request.Image{Path: "head.nii.gz"}, Acknowledge: true,
		Scan: &request.Scan{Kinds: []request.Kind{request.KindLabels, request.KindVolumes}, Volume: 1},
	}
	outcomes := b.submit(job.WayIPC, asked)
	accepted(t, outcomes)
	next(t, b.model.began)
	b.end()

	b = start(t, folder, out, in)
	close(b.model.gate)
	list := b.deliveries()
	if len(list) != 1 {
		t.Fatalf("%d answers, want one", len(list))
	}
	r, err := request.ParseResult(list[0].Document)
	if err != nil || r.ID != "head" || r.Error != nil || r.Scan == nil || len(r.Scan.Files) != 4 {
		t.Errorf("answer %s", list[0].Document)
	}
}
