package dicom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

func odd(t *testing.T, input string) (*volume.Scan, *dicom.Origin) {
	t.Helper()
	s, origin, err := dicom.Read(t.Context(), filepath.Join("..", "testdata", "scans", "inputs", input), volume.Options{})
	if err != nil {
		t.Fatalf("%s: %v", input, err)
	}
	return s, origin
}

func TestAnOriginShowsNothingOfItself(t *testing.T) {
	_, origin := odd(t, "d-sagittal")
	if !strings.Contains(string(origin.Texts[0x00100010]), "QXMARK") {
		t.Fatalf("the name is %d bytes long", len(origin.Texts[0x00100010]))
	}
	var shown bytes.Buffer
	within := struct {
		Origin dicom.Origin
		Points *dicom.Origin
	}{*origin, origin}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%f"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", origin, *origin, within)
	}
	fmt.Fprintln(&shown, origin, *origin, within)
	fmt.Fprintln(&shown, fmt.Errorf("read: %v", origin))
	for _, v := range []any{origin, *origin, within, map[string]any{"origin": origin}} {
		if err := json.NewEncoder(&shown).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&shown, nil), slog.NewTextHandler(&shown, nil)} {
		slog.New(handler).Info("read", "origin", origin, "value", *origin, "within", within)
	}
	text := shown.String()
	for _, secret := range []string{"QXMARK", "19010203", "20200102", fmt.Sprintf("%x", "QXMARK"), fmt.Sprintf("%X", "QXMARK"), "81 88 77", "UVhNQVJL", origin.StudyUID} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	if !strings.Contains(text, "not shown") {
		t.Errorf("shown: %s", text)
	}
}

func TestAnOriginNamesTheImageAndThePlaceOfEachSlice(t *testing.T) {
	for input, frames := range map[string]bool{
		"d-sagittal": false, "d-enhanced-shuffled": true, "d-enhanced-parts": false, "d-tilt": false, "z-names.zip": false, "d-no-preamble": false, "d-deflated": false,
	} {
		s, origin := odd(t, input)
		if len(origin.Slices) != s.Size[2] || origin.SeriesUID != s.Series || origin.StudyUID == "" || origin.FrameOfReferenceUID == "" {
			t.Errorf("%s: %d slices for %v, UIDs that are missing or of another series", input, len(origin.Slices), s.Size)
			continue
		}
		seen := make(map[string]bool)
		for z, slice := range origin.Slices {
			want := s.Affine.Apply(volume.Vector{0, 0, float64(z)})
			if off := (volume.Vector{-slice.Position[0], -slice.Position[1], slice.Position[2]}).Minus(want).Length(); off > 0.001 {
				t.Errorf("%s: slice %d is %.3g mm off", input, z, off)
			}
			if image := fmt.Sprint(slice.InstanceUID, slice.Frame); seen[image] || slice.ClassUID == "" || (slice.Frame > 0) != frames {
				t.Errorf("%s: slice %d has frame %d, or an image that others have", input, z, slice.Frame)
			} else {
				seen[image] = true
			}
		}
	}
}
