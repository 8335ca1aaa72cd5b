package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden lists of linked modules anew")

const (
	root   = "../../.."
	module = "github.com/brainseg/brainseg/"
)

// pkg is what `go list` knows of a package.
type pkg struct {
	ImportPath string
	Doc        string
	Standard   bool
	Module     *struct {
		Path string
		Main bool
	}
	Imports, TestImports, XTestImports []string
}

// graph has packages by their path; those of this module without module in front.
type graph map[string]pkg

// load lists the packages that patterns name and all that they import. The system
// is fixed, so that the answer is the same on every machine.
func load(t *testing.T, patterns ...string) graph {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-json=ImportPath,Doc,Standard,Module,Imports,TestImports,XTestImports"}, patterns...)...)
	command.Dir = root
	command.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=1")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	g := make(graph)
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, list := range []*[]string{&p.Imports, &p.TestImports, &p.XTestImports} {
			for i, path := range *list {
				(*list)[i] = strings.TrimPrefix(path, module)
			}
		}
		g[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	return g
}

// ours tells whether a package belongs to this module.
func (g graph) ours(path string) bool { return g[path].Module != nil && g[path].Module.Main }

// matches tells whether a package is one of patterns, of which those that end in
// "/..." mean all below, too.
func matches(path string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, below := strings.CutSuffix(pattern, "/...")
		return path == above || below && strings.HasPrefix(path, above+"/")
	})
}

// way returns the imports that lead from a package to one that forbidden knows,
// the shortest way, or nil. Packages that match through are not entered.
func (g graph) way(from string, forbidden func(string) bool, through ...string) []string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, path := range g[queue[0]].Imports {
			if _, seen := cameFrom[path]; seen || matches(path, through...) {
				continue
			}
			cameFrom[path] = queue[0]
			if forbidden(path) {
				var way []string
				for ; path != ""; path = cameFrom[path] {
					way = append(way, path)
				}
				slices.Reverse(way)
				return way
			}
			queue = append(queue, path)
		}
	}
	return nil
}

// wall keeps packages from linking others.
type wall struct {
	of    string // what it is of, for people
	from  []string
	but   []string // that are not meant by from
	never []string // must not be linked...
	only  []string // ...or, of this module, nothing else may be
	doors []string // is not looked behind: packages that may be linked in spite of all
	tests bool     // holds for the direct imports of tests as well
}

const (
	onnxRuntime = "github.com/yalue/onnxruntime_go"
	sageMaker   = "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	greengrass  = "github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	protobuf    = "google.golang.org/protobuf/..."
)

var walls = []wall{
	{of: "what runs on a device builds no models", from: []string{"internal/device/..."}, never: []string{"internal/build/..."}, tests: true},
	{of: "what builds models runs on no device", from: []string{"internal/build/..."}, never: []string{"internal/device/..."}, tests: true},
	{of: "the IPC client stands alone", from: []string{"ggipc/..."}, only: []string{"ggipc/..."}},
	{of: "what a model is needs nothing that runs or makes one", from: []string{"internal/model"}, only: []string{"internal/boundedfile"}},
	{of: "what a model is takes nothing but Go", from: []string{"internal/model"}, never: []string{"github.com/...", "google.golang.org/..."}},
	{of: "slices know nothing of models and requests", from: []string{"internal/imaging/..."}, only: []string{"internal/imaging/...", "internal/boundedfile"}},
	{of: "scans know nothing of models, slices and requests", from: []string{"internal/volume/..."}, only: []string{"internal/volume/...", "internal/resample"}},
	{of: "what both programs share needs neither", from: []string{"internal/...", "schemas"}, but: []string{"internal/device/...", "internal/build/...", "internal/dev/..."},
		never: []string{"internal/device/...", "internal/build/...", "internal/dev/..."}},
	{of: "brainseg links of what is for developers the nucleus alone", from: []string{"component"}, never: []string{"internal/dev/..."}, doors: []string{"internal/dev/nucleus"}},
	{of: "only the command local links the nucleus", from: []string{"internal/device/..."}, but: []string{"internal/device/cli"}, never: []string{"internal/dev/..."}},
	{of: "what builds models links nothing for developers", from: []string{"model-build", "internal/build/..."}, never: []string{"internal/dev/..."}},
	{of: "brainseg links no part of model-build", from: []string{"component"}, never: []string{sageMaker, greengrass, protobuf, "internal/build/..."}},
	{of: "brainseg stays small: templates have the linker keep every method", from: []string{"internal/device/...", "internal/volume/..."}, never: []string{"html/template"}},
	{of: "packing and publishing a model run none", from: []string{"internal/build/modelpackage", "internal/build/publish"},
		never: []string{onnxRuntime, sageMaker, protobuf, "internal/segmentation"}},
}

// broken lists what breaks a wall, with the way that leads there.
func broken(g graph, walls []wall) []string {
	var list []string
	for _, w := range walls {
		forbidden := func(path string) bool {
			return matches(path, w.never...) || w.only != nil && g.ours(path) && !matches(path, w.only...)
		}
		found := false
		for path, p := range g {
			if !matches(path, w.from...) || matches(path, w.but...) {
				continue
			}
			found = true
			if way := g.way(path, forbidden, w.doors...); way != nil {
				list = append(list, w.of+": "+strings.Join(way, " imports "))
			}
			for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
				if w.tests && forbidden(imported) {
					list = append(list, w.of+": a test of "+path+" imports "+imported)
				}
			}
		}
		if !found {
			list = append(list, w.of+": there is no package "+strings.Join(w.from, ", "))
		}
	}
	slices.Sort(list)
	return list
}

func TestNoImportGoesThroughAWall(t *testing.T) {
	for _, problem := range broken(load(t, "./..."), walls) {
		t.Error(problem)
	}
}

func TestAWallNamesTheWayThroughIt(t *testing.T) {
	made := func(imports map[string][]string) graph {
		g := make(graph)
		add := func(path string, imports []string) {
			p := pkg{ImportPath: path, Imports: imports}
			if !strings.Contains(path, ".") {
				p.Module = &struct {
					Path string
					Main bool
				}{module, true}
			}
			g[path] = p
		}
		for path, list := range imports {
			for _, imported := range list {
				if _, ok := g[imported]; !ok {
					add(imported, imports[imported])
				}
			}
			add(path, list)
		}
		return g
	}
	withTest := made(map[string][]string{"internal/device/a": nil})
	p := withTest["internal/device/a"]
	p.XTestImports = []string{"internal/build/b"}
	withTest["internal/device/a"] = p

	device, alone := walls[0], wall{of: "w", from: []string{"x"}, only: []string{"x/y"}}
	tests := []struct {
		name string
		g    graph
		wall wall
		want []string
	}{
		{"kept", made(map[string][]string{"internal/device/a": {"internal/model"}, "internal/build/b": {"internal/model"}}), device, nil},
		{"by a third", made(map[string][]string{"internal/device/a": {"internal/c"}, "internal/c": {"internal/build/b"}}), device,
			[]string{"what runs on a device builds no models: internal/device/a imports internal/c imports internal/build/b"}},
		{"by a test", withTest, device, []string{"what runs on a device builds no models: a test of internal/device/a imports internal/build/b"}},
		{"a name that only begins alike", made(map[string][]string{"internal/device/a": {"internal/builder"}}), device, nil},
		{"allowed, and not ours", made(map[string][]string{"x": {"x/y", "example.com/z"}}), alone, nil},
		{"not allowed", made(map[string][]string{"x": {"x/y"}, "x/y": {"x/z"}}), alone, []string{"w: x imports x/y imports x/z"}},
		{"a library", made(map[string][]string{"component": {"a"}, "a": {protobuf[:len(protobuf)-4] + "/proto"}}),
			wall{of: "w", from: []string{"component"}, never: []string{protobuf}}, []string{"w: component imports a imports google.golang.org/protobuf/proto"}},
		{"a door", made(map[string][]string{"x": {"d"}, "d": {"n"}}), wall{of: "w", from: []string{"x"}, never: []string{"n"}, doors: []string{"d"}}, nil},
		{"an exception", made(map[string][]string{"x/a": {"n"}, "x/b": nil}), wall{of: "w", from: []string{"x/..."}, but: []string{"x/a"}, never: []string{"n"}}, nil},
		{"a room that is gone", made(map[string][]string{"x": nil}), device, []string{"what runs on a device builds no models: there is no package internal/device/..."}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, broken(tt.g, []wall{tt.wall})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// importers lists the files of a folder that import a package, without tests.
func importers(files fs.FS, folder, path string) ([]string, error) {
	names, err := fs.Glob(files, folder+"/*.go")
	var list []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, content, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(parsed.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) }) {
			list = append(list, name)
		}
	}
	return list, err
}

func TestOnlyTheFileOfTheCommandLocalImportsTheNucleus(t *testing.T) {
	made := fstest.MapFS{
		"cli/a.go":      {Data: []byte("package cli\nimport n \"x/nucleus\"")},
		"cli/a_test.go": {Data: []byte("package cli\nimport \"x/nucleus\"")},
		"cli/b.go":      {Data: []byte("package cli\nimport \"x/nucleus/y\"")},
	}
	for _, tt := range []struct {
		files        fs.FS
		folder, path string
		want         []string
	}{
		{os.DirFS(root), "internal/device/cli", module + "internal/dev/nucleus", []string{"internal/device/cli/local.go"}},
		{made, "cli", "x/nucleus", []string{"cli/a.go"}},
	} {
		got, err := importers(tt.files, tt.folder, tt.path)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s is imported by (-want +got), error %v:\n%s", tt.path, err, diff)
		}
	}
}

// undocumented lists packages of this module that say nothing of themselves.
func undocumented(g graph) []string {
	var list []string
	for path, p := range g {
		if g.ours(path) && p.Doc == "" {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	g := load(t, "./...")
	for _, path := range undocumented(g) {
		t.Errorf("package %s has no comment", path)
	}
	silent := g["ggipc"]
	silent.Doc = ""
	if got := undocumented(graph{"ggipc": silent, "internal/model": g["internal/model"]}); len(got) != 1 || got[0] != "ggipc" {
		t.Errorf("a package without a comment was overlooked: %v", got)
	}
}

// modules lists the modules, but for this one, that the packages are from.
func (g graph) modules() []string {
	var list []string
	for _, p := range g {
		if p.Module != nil && !p.Module.Main && !slices.Contains(list, p.Module.Path) {
			list = append(list, p.Module.Path)
		}
	}
	slices.Sort(list)
	return list
}

func TestEachProgramLinksTheModulesThatAreListedAndNoOther(t *testing.T) {
	for name, path := range map[string]string{"brainseg": "./component", "model-build": "./model-build", "ggipc": "./ggipc"} {
		got := strings.Join(load(t, path).modules(), "\n") + "\n"
		golden := filepath.Join("testdata", name+".modules")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s; if that is meant, run go test ./internal/dev/walls -update (-listed +linked):\n%s", name, diff)
		}
	}
}
