package report

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
)

var tissues = []Class{
	{Value: 0, Name: "background", Colour: "#000000"},
	{Value: 1, Name: "csf", Colour: "#3b82f6"},
	{Value: 2, Name: "grey-matter", Colour: "#e07a5f"},
	{Value: 3, Name: "white-matter", Colour: "#f4f1de"},
}

// brain is a scan of an egg in voxels of 2 x 2 x 3 mm: fluid around folded grey
// around white matter, as bright as in a T1 scan, with noise.
func brain() Input {
	in := drawn()
	scan := *in.Scan
	scan.Values, in.Labels.Values = slices.Clone(scan.Values), slices.Clone(in.Labels.Values)
	in.Scan = &scan
	return in
}

var drawn = sync.OnceValue(func() Input {
	grid := volume.Grid{Size: [3]int{81, 96, 52}, Affine: volume.Affine{{-2, 0, 0, 81}, {0, 2, 0, -96}, {0, 0, 3, -78}}}
	in := Input{
		Scan:    &volume.Volume{Grid: grid, Values: make([]float32, grid.Voxels())},
		Labels:  volume.Labels{Grid: grid, Values: make([]uint8, grid.Voxels())},
		Classes: tissues, Planes: volume.Planes, Slices: 288, Agreement: 0.85, Seconds: 1.234,
		Model: Model{Name: "enet", Version: "1.0.0", SHA256: "ab"},
	}
	random := rand.New(rand.NewPCG(1, 2))
	i := 0
	for z := range grid.Size[2] {
		for y := range grid.Size[1] {
			for x := range grid.Size[0] {
				p := grid.Affine.Apply(volume.Vector{float64(x), float64(y), float64(z)})
				radius := math.Sqrt(p[0]*p[0]/(66*66) + p[1]*p[1]/(80*80) + p[2]*p[2]/(62*62))
				fold := math.Sin(p[0]/2.6) * math.Sin(p[1]/2.6) * math.Sin(p[2]/3.5)
				label := 0
				switch {
				case radius+0.45*fold < 0.66:
					label = 3
				case radius < 0.95:
					label = 2
				case radius < 1:
					label = 1
				}
				in.Labels.Values[i] = uint8(label)
				in.Scan.Values[i] = float32([]float64{0, 100, 300, 500}[label] + 15*random.NormFloat64())
				i++
			}
		}
	}
	return in
})

func flags(q Quality) (names []string) {
	for _, f := range q.Flags {
		names = append(names, f.Name)
	}
	return names
}

func TestVolumesAreVoxelsTimesTheirSize(t *testing.T) {
	r := Make(brain())
	sum, fractions := 0.0, 0.0
	for _, tissue := range r.Tissues {
		if want := float64(tissue.Voxels) * 12 / 1000; math.Abs(tissue.Millilitres-want) > 0.005 {
			t.Errorf("%s has %v ml, want %v", tissue.Name, tissue.Millilitres, want)
		}
		sum += tissue.Millilitres
		fractions += tissue.Fraction
	}
	if len(r.Tissues) != 3 || math.Abs(sum-r.BrainMillilitres) > 0.05 || math.Abs(fractions-1) > 2e-4 {
		t.Errorf("%d tissues, %v ml of %v, fractions that add up to %v", len(r.Tissues), sum, r.BrainMillilitres, fractions)
	}
	if r.Grid.Orientation != "LAS" || r.Grid.Spacing != [3]float64{2, 2, 3} {
		t.Errorf("grid %+v", r.Grid)
	}
}

func TestDoubtsAreFlagged(t *testing.T) {
	good := *Make(brain()).Quality.Score
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   []string
	}{
		{"a good scan", func(*Input) {}, nil},
		{"hardly any brain", func(in *Input) {
			for i := range in.Labels.Values {
				if i%50 != 0 {
					in.Labels.Values[i] = 0
				}
			}
		}, []string{NotAHead}},
		{"a brain of a third of the size", func(in *Input) {
			in.Labels.Affine = in.Labels.Affine.Scaled(0.69)
		}, []string{OddVolume}},
		{"a T2 scan", func(in *Input) {
			for i := range in.Scan.Values {
				in.Scan.Values[i] = 600 - in.Scan.Values[i]
			}
		}, []string{NotT1}},
		{"the top is missing", func(in *Input) {
			in.Labels.Size[2], in.Scan.Size[2] = 40, 40
			n := in.Labels.Voxels()
			in.Labels.Values, in.Scan.Values = in.Labels.Values[:n], in.Scan.Values[:n]
		}, []string{CutOff}},
		{"thick slices", func(in *Input) { in.Thick, in.Planes = true, []volume.Plane{volume.Axial} }, []string{ThickSlices}},
		{"planes that differ", func(in *Input) { in.Agreement = 0.5 }, []string{LowAgreement, LowScore}},
		{"a network that is not sure", func(in *Input) { in.Confidence, in.Known = 0.1, 0.99 }, nil},
		{"a network that is sure, of something else", func(in *Input) { in.Confidence, in.Known = 0.9, 0.6 }, []string{Unfamiliar}},
		{"a network that knows nothing of it", func(in *Input) { in.Confidence, in.Known = 0.1, 0.2 }, []string{Unfamiliar, LowScore}},
		{"empty slices within", func(in *Input) {
			n := in.Labels.Size[0] * in.Labels.Size[1]
			for z := 15; z < 30; z += 2 {
				clear(in.Labels.Values[z*n : (z+1)*n])
				clear(in.Scan.Values[z*n : (z+1)*n])
			}
		}, []string{CutOff, OddShape, LowScore}},
		{"noise", func(in *Input) {
			random := rand.New(rand.NewPCG(3, 4))
			for i := range in.Scan.Values {
				in.Scan.Values[i] += float32(50 * random.NormFloat64())
			}
		}, []string{MotionLike}},
		{"half a brain turned away", func(in *Input) {
			for i := range in.Labels.Values {
				if x := i % in.Labels.Size[0]; x < 34 {
					in.Labels.Values[i], in.Scan.Values[i] = 0, 0
				}
			}
		}, []string{CutOff, OddShape, LowScore}},
		{"tissues that hardly differ", func(in *Input) {
			random := rand.New(rand.NewPCG(3, 4))
			for i := range in.Scan.Values {
				in.Scan.Values[i] = in.Scan.Values[i]/8 + float32(30*random.NormFloat64())
			}
		}, []string{MotionLike, NotT1}},
	} {
		in := brain()
		c.change(&in)
		q := Make(in).Quality
		if got := flags(q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if *q.Score < 0 || *q.Score > good || *q.Score == good && c.want != nil && !in.Thick {
			t.Errorf("%s: score %v, and %v of a good scan", c.name, *q.Score, good)
		}
	}
}

func TestAModelOfOtherClassesHasNoScore(t *testing.T) {
	in := brain()
	in.Classes = in.Classes[:2]
	if q := Make(in).Quality; q.Score != nil || q.Measures != nil {
		t.Errorf("quality %+v", q)
	}
}

func TestThePageStandsAloneAndEscapesItsTitle(t *testing.T) {
	in := brain()
	in.Warnings = []volume.Warning{volume.Warn("units-metre", "the file says metres <now>")}
	var b bytes.Buffer
	if err := Make(in).WritePage(&b, `scan <script>"7"`, in); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.Contains(text, "<script>") || strings.Contains(text, "ZgotmplZ") {
		t.Error("the page holds a script, or something that the template refused")
	}
	if outside := regexp.MustCompile(`(src|href)="([^d"][^"]*)"|url\(|https?:`).FindString(text); outside != "" {
		t.Errorf("the page refers to %q", outside)
	}
	if n := strings.Count(text, `src="data:image/png;base64,`); n != 2*3*len(levels) {
		t.Errorf("the page has %d pictures", n)
	}
	for _, want := range []string{"white-matter", "units-metre", "the file says metres &lt;now&gt;", "axes LAS", "background:#e07a5f"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestThePictureShowsTheThreePlanesAtTheirSize(t *testing.T) {
	var b bytes.Buffer
	if err := WritePicture(&b, brain()); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	// 162 x 192 mm axial, 162 x 156 coronal, 192 x 156 sagittal.
	if got := picture.Bounds().Size(); got.X != 162+162+192 || got.Y != 192 {
		t.Errorf("the picture has %v pixels", got)
	}
}

func TestLabelTablesAreThoseOfITKSnapAndBIDS(t *testing.T) {
	var bids, snap bytes.Buffer
	if err := WriteBIDS(&bids, tissues); err != nil {
		t.Fatal(err)
	}
	if want := "index\tname\tabbreviation\tcolor\n0\tbackground\tBG\t#000000\n1\tcsf\tCSF\t#3b82f6\n2\tgrey-matter\tGM\t#e07a5f\n3\twhite-matter\tWM\t#f4f1de\n"; bids.String() != want {
		t.Errorf("got\n%s", bids.String())
	}
	if err := WriteITKSnap(&snap, tissues); err != nil {
		t.Fatal(err)
	}
	if want := `    2   224  122   95        1  1  1    "grey-matter"`; !strings.Contains(snap.String(), want+"\n") {
		t.Errorf("got\n%s", snap.String())
	}
}

func TestATableOfScansHasOneLineAScan(t *testing.T) {
	r := Make(brain())
	r.Quality.Flags = []Flag{{Name: NotT1}, {Name: CutOff}}
	var b bytes.Buffer
	if err := WriteCSV(&b, r.CSVHeader(), r.CSVRow("a,b")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 || lines[0] != "scan,csf_ml,grey-matter_ml,white-matter_ml,brain_ml,score,agreement,flags,model,model_version" || !strings.HasPrefix(lines[1], `"a,b",`) || !strings.HasSuffix(lines[1], ",0.8500,not-T1 cut-off,enet,1.0.0") {
		t.Errorf("got\n%s", b.String())
	}
}

func TestEveryFlagIsOnThePageForPeopleWithScans(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "scans.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{NotAHead, NotT1, CutOff, ThickSlices, LowAgreement, OddVolume, OddShape, MotionLike, LowScore, Unfamiliar} {
		if !bytes.Contains(page, []byte("| `"+flag+"` |")) {
			t.Errorf("docs/scans.md does not tell what %s means", flag)
		}
	}
}
