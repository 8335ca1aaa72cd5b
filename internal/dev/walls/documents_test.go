package walls

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/google/go-cmp/cmp"
)

var (
	fence    = regexp.MustCompile("(?ms)^[ \t]*```[^\n]*\n(.*?)^[ \t]*```[ \t]*$")
	span     = regexp.MustCompile("`([^`\n]+)`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	target   = regexp.MustCompile(`(?m)^([a-z][A-Za-z0-9/_.-]*)(?: [^:=\n]*)?:(?:[^=]|$)`)
	place    = regexp.MustCompile(`^(?:internal|docs|ggipc|schemas|recipes|artifacts|component|model-build)/[\w./-]*$`)
	command  = regexp.MustCompile(`Use:\s+"([a-z-]+)`)
	alias    = regexp.MustCompile(`Aliases:\s+\[\]string\{"([a-z-]+)"`)
	option   = regexp.MustCompile(`(?:Flags\(\)|flags)\.\w+\((?:&?[\w.]+, )?"([a-z0-9-]+)"`)
)

// documents are the Markdown files by their name.
func documents(files fs.FS) (map[string]string, error) {
	names, err := tree(files, ".md")
	all := make(map[string]string)
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		all[name] = string(content)
	}
	return all, err
}

// deadPlaces lists the files and folders of the repository that documents name in
// backticks and that do not exist.
func deadPlaces(files fs.FS) ([]string, error) {
	all, err := documents(files)
	var list []string
	for name, text := range all {
		for _, match := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			at := path.Clean(strings.TrimSuffix(match[1], "..."))
			if !place.MatchString(match[1]) {
				continue
			}
			if _, err := fs.Stat(files, at); err != nil {
				list = append(list, name+": there is no "+match[1])
			}
		}
	}
	slices.Sort(list)
	return list, err
}

// anchor is the name by which a link leads to a heading, as GitHub makes it.
func anchor(heading string) string {
	return strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// deadLinks lists the links of documents to files and headings that do not exist.
func deadLinks(files fs.FS) ([]string, error) {
	all, err := documents(files)
	var list []string
	for name, text := range all {
		prose := span.ReplaceAllString(fence.ReplaceAllString(text, ""), "`")
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			address := match[1] + match[2]
			if strings.Contains(address, ":") {
				continue // of another site
			}
			file, part, _ := strings.Cut(address, "#")
			at := name
			if file != "" {
				at = path.Join(path.Dir(name), file)
			}
			if _, err := fs.Stat(files, at); err != nil {
				list = append(list, name+": there is no "+address)
				continue
			}
			if part == "" {
				continue
			}
			known := slices.ContainsFunc(heading.FindAllStringSubmatch(fence.ReplaceAllString(all[at], ""), -1), func(h []string) bool { return anchor(h[1]) == part })
			if !known {
				list = append(list, name+": there is no heading for "+address)
			}
		}
	}
	slices.Sort(list)
	return list, err
}

// calls returns the commands that a document shows, as words.
func calls(text string) [][]string {
	var lines []string
	for _, block := range fence.FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n")...)
	}
	for _, inline := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		lines = append(lines, inline[1])
	}
	var list [][]string
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " #")
		for _, part := range regexp.MustCompile(`&&|\|\|?|;| -- `).Split(line, -1) {
			words := strings.Fields(part)
			for len(words) > 0 && (words[0] == "$" || words[0] == "sudo" || strings.Contains(words[0], "=")) {
				words = words[1:]
			}
			if len(words) > 1 {
				list = append(list, words)
			}
		}
	}
	return list
}

// program is what a command line may say.
type program struct{ commands, flags map[string]bool }

// readProgram finds commands and flags in the Go files of a folder and of those in it.
func readProgram(files fs.FS, folder string) (program, error) {
	p := program{commands: map[string]bool{"help": true}, flags: map[string]bool{"help": true, "version": true}}
	names, err := fs.Glob(files, folder+"/*.go")
	below, _ := fs.Glob(files, folder+"/*/*.go")
	for _, name := range append(names, below...) {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return p, err
		}
		for _, pattern := range []*regexp.Regexp{command, alias} {
			for _, match := range pattern.FindAllSubmatch(content, -1) {
				p.commands[string(match[1])] = true
			}
		}
		for _, match := range option.FindAllSubmatch(content, -1) {
			p.flags[string(match[1])] = true
		}
	}
	return p, err
}

// readTargets finds those of a Makefile.
func readTargets(files fs.FS, makefile string) (map[string]bool, error) {
	content, err := fs.ReadFile(files, makefile)
	all := make(map[string]bool)
	for _, match := range target.FindAllSubmatch(content, -1) {
		all[string(match[1])] = true
	}
	return all, err
}

// deadCalls lists targets, commands and flags that documents show and that do not
// exist. Beside each document a Makefile of its folder counts, too.
func deadCalls(files fs.FS, programs map[string]string) ([]string, error) {
	all, err := documents(files)
	if err != nil {
		return nil, err
	}
	known := make(map[string]program)
	for name, folder := range programs {
		if known[name], err = readProgram(files, folder); err != nil {
			return nil, err
		}
	}
	common, err := readTargets(files, "Makefile")
	if err != nil {
		return nil, err
	}
	var list []string
	for name, text := range all {
		own, err := readTargets(files, path.Join(path.Dir(name), "Makefile"))
		if err != nil {
			own = nil // there is none
		}
		for _, words := range calls(text) {
			tool := path.Base(words[0])
			p, ours := known[tool]
			for i, word := range words[1:] {
				flagged, isFlag := strings.CutPrefix(word, "--")
				flagged, _, _ = strings.Cut(flagged, "=")
				switch {
				case tool == "make" && regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(word) && words[i] != "-C" && !common[word] && !own[word]:
					list = append(list, name+": there is no target "+word)
				case ours && i == 0 && regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(word) && !p.commands[word]:
					list = append(list, name+": "+tool+" has no command "+word)
				case ours && isFlag && regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(flagged) && !p.flags[flagged]:
					list = append(list, name+": "+tool+" has no flag --"+flagged)
				}
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

func TestDocumentsNameFilesAndFoldersThatExist(t *testing.T) {
	for _, find := range []func(fs.FS) ([]string, error){deadLinks, deadPlaces} {
		list, err := find(os.DirFS(root))
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range list {
			t.Error(problem)
		}
	}
}

// unnamed lists the packages that the page of the architecture does not name.
// Those for developers are told in one sentence there, and those for tests not.
func unnamed(page string, packages []string) []string {
	var list []string
	for _, name := range packages {
		short := strings.TrimPrefix(name, "internal/")
		if strings.Count(short, "/") > 1 || matches(short, "dev/...") || strings.HasSuffix(short, "test") || !strings.Contains(name, "/") && name != "schemas" && name != "ggipc" {
			continue
		}
		if !regexp.MustCompile("`(internal/)?" + short + "/?`").MatchString(page) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func TestThePageOfTheArchitectureNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile(root + "/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	g := load(t, "./...")
	var packages []string
	for name := range g {
		if g.ours(name) {
			packages = append(packages, name)
		}
	}
	for _, name := range unnamed(string(page), packages) {
		t.Errorf("ARCHITECTURE.md does not name %s", name)
	}
	got := unnamed("`internal/model/`, `device/cli`", []string{"internal/model", "internal/device/cli", "internal/device/queue", "internal/models", "internal/dev/nucleus", "internal/build/a/b"})
	if diff := cmp.Diff([]string{"internal/device/queue", "internal/models"}, got); diff != "" {
		t.Errorf("what is not named (-want +got):\n%s", diff)
	}
}

func TestDocumentsShowTheModelThatIsShipped(t *testing.T) {
	m, err := model.ReadManifest(root + "/artifacts/model")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"artifacts/model/README.md": "# Model card: " + m.Name + " " + m.Version + "\n",
		"README.md":                 "model    " + m.Name + " " + m.Version + "\n",
		"CHANGELOG.md":              "- Model " + m.Version + ": ",
	} {
		text, err := os.ReadFile(root + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s does not have %q", name, want)
		}
	}
}

func TestDocumentsShowTargetsCommandsAndFlagsThatExist(t *testing.T) {
	list, err := deadCalls(os.DirFS(root), map[string]string{"brainseg": "internal/device/cli", "model-build": "internal/build/cli"})
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range list {
		t.Error(problem)
	}
}

func TestWhatDocumentsShowAndDoesNotExistIsFound(t *testing.T) {
	text := strings.ReplaceAll(`# A title, with 'marks' and 2 more

[good](b/c.md), [here](#a-title-with-marks-and-2-more), [there](b/c.md#part), [site](https://example.com/x), 'a](none)'
[gone](b/d.md), [nowhere](#part), [away](b/c.md#whole), ![picture](p.png), <img src="q.png">
'make test', 'make lint absent', 'make -C b own', 'make X=1 missing', 'prog run --fast', 'prog walk', 'make', 'docs/gone.md', 'docs/', 'ggipc/...', 'other/gone'
'''sh
[not a link](in/code)
sudo make test && bin/prog run --slow=3 --fast \
    --far   # prog fly
V=1 prog --help | other --flag
'''
`, "'", "`")
	text = strings.Replace(text, "`marks`", "'marks'", 1)
	files := fstest.MapFS{
		"a.md":       {Data: []byte(text)},
		"b/c.md":     {Data: []byte("## Part\n`make own`")},
		"docs/x":     {},
		"ggipc/x.go": {Data: []byte("package ggipc")},
		"b/Makefile": {Data: []byte("own: ## x\n")},
		"Makefile":   {Data: []byte("VERSION := 1\ntest: lint\nlint: ; true\nabsentee:\n")},
		"cli/a.go":   {Data: []byte(`c := &cobra.Command{Use: "run IMAGE"}; c.Flags().BoolVar(&fast, "fast", false, ""); `)},
		"cli/b/b.go": {Data: []byte(`flags.Duration("far", 0, "")`)},
	}
	links, err := deadLinks(files)
	wantLinks := []string{"a.md: there is no b/d.md", "a.md: there is no heading for #part", "a.md: there is no heading for b/c.md#whole", "a.md: there is no p.png", "a.md: there is no q.png"}
	if diff := cmp.Diff(wantLinks, links); diff != "" || err != nil {
		t.Errorf("links (-want +got), error %v:\n%s", err, diff)
	}
	places, err := deadPlaces(files)
	if diff := cmp.Diff([]string{"a.md: there is no docs/gone.md"}, places); diff != "" || err != nil {
		t.Errorf("places (-want +got), error %v:\n%s", err, diff)
	}
	got, err := deadCalls(files, map[string]string{"prog": "cli"})
	want := []string{"a.md: prog has no command walk", "a.md: prog has no flag --slow", "a.md: there is no target absent", "a.md: there is no target missing", "a.md: there is no target own"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("calls (-want +got), error %v:\n%s", err, diff)
	}
}
