package derived_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
	"github.com/brainseg/brainseg/internal/volume/dicom/sc"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
	"github.com/brainseg/brainseg/internal/volume/dicom/sr"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

// byThreshold stands in for a network.
type byThreshold struct{}

func (byThreshold) Segment(_ context.Context, slice *image.Gray, mask []uint8) error {
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return nil
}

var classes = []seg.Class{{Value: 0, Name: "background", Colour: "#000000"}, {Value: 1, Name: "csf", Colour: "#3b82f6"}, {Value: 2, Name: "grey-matter", Colour: "#e07a5f"}, {Value: 3, Name: "white-matter", Colour: "#f4f1de"}}

// objects are what is made of one series.
type objects struct {
	scan             *volume.Scan
	labels           *volume.Labels
	origin           *dicom.Origin
	seg, capture, sr bytes.Buffer
	reference        seg.Reference
}

// millilitres are no real ones: each segment has another.
func millilitres(value uint8) float64 { return 100.25 * float64(value) }

func made(t *testing.T, input string, deidentify bool) *objects {
	t.Helper()
	s, origin, err := dicom.Read(t.Context(), filepath.Join("..", "..", "testdata", "scans", "inputs", input), volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	result, err := threeplane.Segment(t.Context(), &s.Volume, byThreshold{}, threeplane.Options{VoxelSize: 9})
	if err != nil {
		t.Fatal(err)
	}
	o := &objects{scan: s, labels: &result.Labels, origin: origin}
	o.write(t, deidentify)
	return o
}

func (o *objects) write(t *testing.T, deidentify bool) {
	t.Helper()
	opts := seg.Options{Classes: classes, Model: "m", ModelVersion: "1.0.0", ModelSHA256: strings.Repeat("ab", 32), Version: "2.0.0", Deidentify: deidentify}
	source := derived.Source{Origin: o.origin, Model: opts.Model, ModelVersion: opts.ModelVersion, ModelSHA256: opts.ModelSHA256, Version: opts.Version, Deidentify: deidentify}
	var colours []sc.Class
	for _, c := range classes {
		colours = append(colours, sc.Class{Value: c.Value, Colour: c.Colour})
	}
	for _, buffer := range []*bytes.Buffer{&o.seg, &o.capture, &o.sr} {
		buffer.Reset()
	}
	var err error
	if err = seg.Write(&o.seg, o.labels, o.origin, opts); err != nil {
		t.Fatal(err)
	}
	if o.reference, err = seg.Refer(o.labels, o.origin, opts); err != nil {
		t.Fatal(err)
	}
	if err = sr.Write(&o.sr, source, o.reference, millilitres); err != nil {
		t.Fatal(err)
	}
	if err = sc.Write(&o.capture, &o.scan.Volume, o.labels, source, colours); err != nil {
		t.Fatal(err)
	}
}

// drawn is the picture that a capture must show.
func (o *objects) drawn() []byte {
	var picture []byte
	for i, grey := range o.scan.Grey() {
		var rgb [3]uint8
		fmt.Sscanf(classes[o.labels.Values[i]].Colour, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2])
		for _, colour := range rgb {
			if o.labels.Values[i] == 0 {
				picture = append(picture, grey)
			} else {
				picture = append(picture, uint8((55*int(grey)+45*int(colour)+50)/100))
			}
		}
	}
	return picture
}

func TestOthersReadTheVolumesOfTheReportAndEveryPixelOfTheCapture(t *testing.T) {
	python := filepath.Join("..", "..", "..", "..", ".venv", "bin", "python")
	if exec.Command(python, "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('highdicom'))").Run() != nil {
		t.Skip("highdicom is not installed, so nobody else reads the DICOM SR: make test-servers fetches it")
	}
	o := made(t, "d-8bit-odd", false)
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "sr.dcm"), filepath.Join(dir, "sc.dcm"), filepath.Join(dir, "pixels")}
	for i, content := range []*bytes.Buffer{&o.sr, &o.capture} {
		if err := os.WriteFile(paths[i], content.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), python, append([]string{filepath.Join("testdata", "judge.py")}, paths...)...)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.String())
	}
	type group struct {
		Finding, Name, Unit, Object string
		Value                       float64
		Segment                     int
		Site                        []string
	}
	var said struct {
		Groups      []group
		Shape       []int
		Photometric string
		Studies     []string
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want []group
	for i, finding := range []string{"65216001", "389081007", "389080008"} {
		want = append(want, group{Finding: finding, Name: "Volume", Unit: "ml", Object: o.reference.Instance, Value: millilitres(uint8(i + 1)), Segment: i + 1, Site: []string{"Brain"}})
	}
	if diff := cmp.Diff(want, said.Groups); diff != "" {
		t.Errorf("measurement groups (-want +got):\n%s", diff)
	}
	if !bytes.Contains(o.seg.Bytes(), []byte(o.reference.Instance)) || !bytes.Contains(o.seg.Bytes(), []byte(o.reference.Series)) {
		t.Error("the report refers to another segmentation")
	}
	size := o.labels.Size
	if diff := cmp.Diff([]int{size[2], size[1], size[0], 3}, said.Shape); diff != "" || said.Photometric != "RGB" {
		t.Errorf("capture %s of (-want +got):\n%s", said.Photometric, diff)
	}
	if diff := cmp.Diff([]string{o.origin.StudyUID, o.origin.StudyUID}, said.Studies); diff != "" {
		t.Errorf("studies (-want +got):\n%s", diff)
	}
	pixels, err := os.ReadFile(paths[2])
	if err != nil || !bytes.Equal(pixels, o.drawn()) {
		t.Errorf("the capture shows something else: %d bytes, %v", len(pixels), err)
	}
}

func TestDcmqiAndDcmtkReadTheReport(t *testing.T) {
	o := made(t, "d-8bit-odd", false)
	path := filepath.Join(t.TempDir(), "sr.dcm")
	if err := os.WriteFile(path, o.sr.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	readers := 0
	dcmqi := filepath.Join("..", "..", "..", "..", ".venv", "bin", "tid1500reader")
	if exec.Command(dcmqi, "--version").Run() == nil {
		readers++
		metadata := path + ".json"
		if out, err := exec.CommandContext(t.Context(), dcmqi, "--inputDICOM", path, "--outputMetadata", metadata).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var said struct {
			Measurements []struct {
				ReferencedSegment          int
				SegmentationSOPInstanceUID string
				MeasurementItems           []struct{ Value string }
			}
		}
		content, err := os.ReadFile(metadata)
		if err == nil {
			err = json.Unmarshal(content, &said)
		}
		if err != nil || len(said.Measurements) != 3 {
			t.Fatalf("dcmqi: %v\n%s", err, content)
		}
		for i, m := range said.Measurements {
			if m.ReferencedSegment != i+1 || m.SegmentationSOPInstanceUID != o.reference.Instance || len(m.MeasurementItems) != 1 || m.MeasurementItems[0].Value != fmt.Sprint(millilitres(uint8(i+1))) {
				t.Errorf("dcmqi reads %+v", m)
			}
		}
	}
	if dsrdump, err := exec.LookPath("dsrdump"); err == nil {
		readers++
		out, err := exec.CommandContext(t.Context(), dsrdump, path).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(`<contains NUM:(,,"Volume")="200.5" (ml,UCUM,"milliliter")>`)) {
			t.Errorf("dsrdump: %v\n%s", err, out)
		}
	}
	if readers == 0 {
		t.Skip("neither dcmqi (make test-servers) nor DCMTK's dsrdump (Debian: dcmtk) is installed, so they do not read the DICOM SR")
	}
}

// errorsOf lists what dciodvfy calls an error.
func errorsOf(t *testing.T, file []byte, class string) []string {
	t.Helper()
	dciodvfy, err := exec.LookPath("dciodvfy")
	if err != nil {
		t.Skip("dciodvfy is not installed, so nobody checks the objects by the letter: Debian has it in dicom3tools")
	}
	path := filepath.Join(t.TempDir(), "object.dcm")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), dciodvfy, path).CombinedOutput()
	if !bytes.Contains(out, []byte(class)) {
		t.Fatalf("dciodvfy: %v\n%s", err, out)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Error") {
			list = append(list, line)
		}
	}
	return list
}

func TestDciodvfyFindsNoErrorInCapturesAndReports(t *testing.T) {
	for _, input := range []string{"d-enhanced-shuffled", "d-8bit-odd"} {
		o := made(t, input, false)
		for _, deidentify := range []bool{false, true} {
			o.write(t, deidentify)
			for class, file := range map[string][]byte{"EnhancedSR": o.sr.Bytes(), "MultiframeTrueColorSCImage": o.capture.Bytes()} {
				for _, line := range errorsOf(t, file, class) {
					t.Errorf("%s, %s, deidentified %v: %s", input, class, deidentify, line)
				}
			}
		}
	}
}

func TestTheSameScanGivesTheSameObjects(t *testing.T) {
	first, second := made(t, "d-8bit-odd", false), made(t, "d-8bit-odd", false)
	if !bytes.Equal(first.sr.Bytes(), second.sr.Bytes()) || !bytes.Equal(first.capture.Bytes(), second.capture.Bytes()) {
		t.Error("the objects differ")
	}
	second.labels.Values[0]++
	second.write(t, false)
	if bytes.Equal(first.sr.Bytes(), second.sr.Bytes()) || bytes.Equal(first.capture.Bytes(), second.capture.Bytes()) {
		t.Error("other labels give the same objects")
	}
	if err := sc.Write(io.Discard, &first.scan.Volume, &volume.Labels{Grid: first.labels.Grid}, derived.Source{Origin: first.origin}, nil); err == nil {
		t.Error("a capture is made of no labels")
	}
}
