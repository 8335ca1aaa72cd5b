package modelcheck

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
)

func TestScoresOfAModelAreComparedWithItsMasks(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "slice.png"), noise(5, 30, 20))
	judged := filepath.Join(filepath.Dir(threshold), "judged")
	report, err := Check(t.Context(), judged, Options{Golden: dir, Library: awstest.Library(t)})
	if err != nil || len(report.Golden) != 1 {
		t.Errorf("report %+v, error %v", report, err)
	}
	for _, tt := range []struct {
		mask, scores []uint8
		says         string
	}{
		{[]uint8{0, 1}, []uint8{255, 100, 0, 155}, ""},
		{[]uint8{0, 1}, []uint8{255, 126, 1, 128}, ""},
		{[]uint8{0, 0}, []uint8{255, 100, 0, 155}, "class 1 has a larger score"},
		{[]uint8{0, 1}, []uint8{255, 100, 0, 140}, "sum up to 240"},
		{[]uint8{0, 1}, []uint8{255, 100, 9, 155}, "sum up to 264"},
	} {
		err := checkScores(tt.mask, tt.scores)
		if (err != nil) != (tt.says != "") || err != nil && (!errors.Is(err, model.ErrNetwork) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("mask %v, scores %v: error %v, want %q", tt.mask, tt.scores, err, tt.says)
		}
	}
}
