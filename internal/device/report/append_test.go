package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALineIsAddedOnlyToATableWithItsColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "volumes.csv")
	four := Report{Tissues: []Tissue{{Name: "csf", Millilitres: 1}, {Name: "grey-matter", Millilitres: 2}}, BrainMillilitres: 3}
	for _, name := range []string{"a", "b, c"} {
		if err := four.AppendCSV(path, name); err != nil {
			t.Fatal(err)
		}
	}
	other := Report{Tissues: []Tissue{{Name: "lesion", Millilitres: 4}}, BrainMillilitres: 4}
	if err := other.AppendCSV(path, "d"); err == nil || !strings.Contains(err.Error(), "other columns") {
		t.Errorf("error %v", err)
	}
	const want = "scan,csf_ml,grey-matter_ml,brain_ml,score,agreement,flags,model,model_version\n" +
		"a,1.00,2.00,3.00,,0.0000,,,\n\"b, c\",1.00,2.00,3.00,,0.0000,,,\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%v, %s", err, got)
	}
}
