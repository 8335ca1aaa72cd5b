package scan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

var update = flag.Bool("update", false, "write testdata/descriptions.json anew")

// scans is where the troublesome scans are; their README says what is what.
var scans = filepath.Join("..", "testdata", "scans")

// answer is what a reader should do with a scan.
type answer struct {
	Outcome  string
	Names    []string
	Shape    []int
	Affine   [][]float64
	Samples  [][4]float64
	Sum      *float64
	Tol      float64
	TolAff   float64 `json:"tol_affine"`
	TolValue float64 `json:"tol_value"`
	Series   string  `json:"series_uid"`
	Free     bool    `json:"scale_free"`
	Inverted bool
}

type scanCase struct {
	ID, Input, Format, Problem string
	answer
	Also json.RawMessage
}

func cases(t testing.TB) []scanCase {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(scans, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []scanCase
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 120 {
		t.Fatalf("only %d cases", len(list))
	}
	return list
}

// answers are those that are right: the first, or the other one.
func (c scanCase) answers(t *testing.T) []answer {
	list := []answer{c.answer}
	if c.Also != nil {
		other := c.answer
		if err := json.Unmarshal(c.Also, &other); err != nil {
			t.Fatal(err)
		}
		list = append(list, other)
	}
	return list
}

// places are those of the samples in mm RAS.
func (c scanCase) places() []volume.Vector {
	var places []volume.Vector
	for _, s := range c.Samples {
		p := volume.Vector{-s[0], -s[1], s[2]}
		if c.Format == "nifti" {
			for row := range 3 {
				a := c.Affine[row]
				p[row] = float64(a[0]*s[0]) + float64(a[1]*s[1]) + float64(a[2]*s[2]) + a[3]
			}
		}
		places = append(places, p)
	}
	return places
}

// withoutPrograms hides the programs that decode what is not decoded here, so
// that results are the same everywhere.
func withoutPrograms(t testing.TB) { t.Setenv("PATH", t.TempDir()) }

func TestEachTroublesomeScanIsReadRightOrRefusedForTheRightReason(t *testing.T) {
	withoutPrograms(t)
	for _, c := range cases(t) {
		t.Run(c.ID, func(t *testing.T) {
			s, _, err := scan.Read(t.Context(), filepath.Join(scans, "inputs", c.Input), volume.Options{})
			var refusal *volume.Refusal
			if err != nil && !errors.As(err, &refusal) {
				t.Fatalf("%s: no refusal but %v", c.Problem, err)
			}
			if refusal != nil && (refusal.Code == "" || refusal.Cure == "") {
				t.Errorf("a refusal without code or cure: %+v", refusal)
			}
			var wrong []string
			for _, want := range c.answers(t) {
				w := wrongWith(c, want, s, err)
				if w == "" {
					return
				}
				wrong = append(wrong, w)
			}
			t.Errorf("%s: %s", c.Problem, strings.Join(wrong, ", or "))
		})
	}
}

// wrongWith says what is wrong with the result, or "".
func wrongWith(c scanCase, want answer, s *volume.Scan, err error) string {
	if want.Outcome == "refuse" {
		if err == nil {
			return "read, and it should be refused"
		}
		text := strings.ToLower(err.Error())
		if !slices.ContainsFunc(want.Names, func(n string) bool { return strings.Contains(text, strings.ToLower(n)) }) {
			return fmt.Sprintf("refused without a word of %v: %v", want.Names, err)
		}
		return ""
	}
	if err != nil {
		return "refused: " + err.Error()
	}
	if want.Affine == nil {
		return ""
	}
	d := scan.Describe(s, c.places())
	if want.Series != "" && d.Series != want.Series {
		return "series " + d.Series
	}
	if want.Shape != nil && !slices.Equal(d.Shape[:], want.Shape) {
		return fmt.Sprintf("shape %v", d.Shape)
	}
	tolerance := math.Max(math.Max(want.Tol, want.TolAff), 0.001)
	for row := range 3 {
		for column := range 4 {
			if !(math.Abs(d.Affine[row][column]-want.Affine[row][column]) <= tolerance) {
				return fmt.Sprintf("affine %v", d.Affine)
			}
		}
	}
	return wrongValues(c, want, d)
}

func wrongValues(c scanCase, want answer, d scan.Description) string {
	factor, order := 1.0, 1.0
	if want.Inverted {
		order = -1
	}
	for i, s := range c.Samples {
		if d.Samples[i].Value == nil {
			return fmt.Sprintf("no value at sample %d", i)
		}
		if want.Free && i == 0 {
			factor = *d.Samples[0].Value / s[3]
		}
	}
	for i, s := range c.Samples {
		got, value := *d.Samples[i].Value, s[3]
		if want.Inverted { // a turned order: the sum with the first sample's stays
			got, value = got-*d.Samples[0].Value, order*(value-c.Samples[0][3])
		}
		if !(math.Abs(got-factor*value) <= math.Max(math.Max(want.TolValue, 0.001), 1e-6*math.Abs(value))) {
			return fmt.Sprintf("%v at sample %d, not %v", got, i, value)
		}
	}
	if want.Sum != nil && !want.Inverted && factor == 1 && !(math.Abs(d.Sum-*want.Sum) <= math.Max(1, 1e-4*math.Abs(*want.Sum))) {
		return fmt.Sprintf("sum %v, not %v", d.Sum, *want.Sum)
	}
	return ""
}

// TestADescriptionIsTheSameByteForByte compares with a file, which holds on
// every architecture. It has each warning and each refusal by its words.
func TestADescriptionIsTheSameByteForByte(t *testing.T) {
	withoutPrograms(t)
	described := make(map[string]any)
	for _, c := range cases(t) {
		s, _, err := scan.Read(t.Context(), filepath.Join(scans, "inputs", c.Input), volume.Options{})
		var refusal *volume.Refusal
		switch {
		case err == nil:
			described[c.ID] = scan.Describe(s, c.places())
		case errors.As(err, &refusal):
			described[c.ID] = map[string]any{"code": refusal.Code, "error": refusal.Error()}
		default:
			t.Fatalf("%s: %v", c.ID, err)
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(described); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "descriptions.json")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("descriptions changed (-want +got; -update accepts them):\n%s", diff)
	}
	if bytes.Contains(bytes.ToUpper(b.Bytes()), []byte("QXMARK")) {
		t.Error("a patient's name came out")
	}
}

func TestNoTroublesomeScanTakesMuchMemoryOrTime(t *testing.T) {
	withoutPrograms(t)
	const most = 24 << 20
	for _, c := range cases(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, _, _ = scan.Read(t.Context(), filepath.Join(scans, "inputs", c.Input), volume.Options{})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%s: %d MB were allocated", c.ID, took>>20)
		}
		// It takes milliseconds; a busy machine may be a thousand times slower.
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: %v", c.ID, took)
		}
	}
}

func TestATableTellsAPersonTheSame(t *testing.T) {
	s, _, err := scan.Read(t.Context(), filepath.Join(scans, "inputs", "d-three-series"), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := scan.Describe(s, []volume.Vector{{0, 0, 0}, {900, 0, 0}}).Table(&b); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "table.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the table changed (-want +got; -update accepts it):\n%s", diff)
	}
}
