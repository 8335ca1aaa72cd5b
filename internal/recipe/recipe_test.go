package recipe

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/device/config"
)

const (
	root      = "../.."
	ownRecipe = "recipes/io.brainseg.BrainSegmentation.yaml"
)

// shipped are the recipes in the repository, by the path of their file.
func shipped(t *testing.T) map[string]*Recipe {
	t.Helper()
	var files []string
	for _, pattern := range []string{"recipes/*.yaml", "model-build/recipe.yaml"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	recipes := make(map[string]*Recipe)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Check(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		recipes[name] = r
	}
	if recipes[ownRecipe] == nil {
		t.Fatalf("%s was not found", ownRecipe)
	}
	return recipes
}

func TestShippedRecipesKeepTheRulesOfBothNuclei(t *testing.T) {
	var all []*Recipe
	for file, r := range shipped(t) {
		if filepath.Dir(file) == "recipes" && filepath.Base(file) != r.Name+".yaml" {
			t.Errorf("%s is of component %s: the GDK wants its name", file, r.Name)
		}
		all = append(all, r)
	}
	if err := CheckTogether(all...); err != nil {
		t.Error(err)
	}
}

func TestTheDefaultConfigurationIsWhatTheComponentAssumesWithoutOne(t *testing.T) {
	r := shipped(t)[ownRecipe]
	document, err := json.Marshal(r.Configuration)
	if err != nil {
		t.Fatal(err)
	}
	got, unknown, err := config.Parse(document)
	if err != nil || len(unknown) > 0 {
		t.Fatalf("error %v, unknown keys %q", err, unknown)
	}
	want, _, err := config.Parse([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("default configuration (-without +in the recipe):\n%s", diff)
	}
}

// The nucleus' script goes on behind the component's command, and tells that
// all is well: a component that failed must not come back to it.
func TestTheStartScriptIsReplacedByTheComponent(t *testing.T) {
	for _, m := range shipped(t)[ownRecipe].Manifests {
		script := m.Lifecycle["startup"].Script
		if !strings.HasPrefix(script, "exec {artifacts:decompressedPath}/brainseg-linux-") || strings.Contains(script, "\n") {
			t.Errorf("manifest %s starts with %q", m.Name, script)
		}
	}
}

func TestTheRecipeIsWhereTheDevelopmentKitLooks(t *testing.T) {
	target, err := os.Readlink(filepath.Join(root, "recipe.yaml"))
	if err != nil || target != ownRecipe {
		t.Errorf("recipe.yaml leads to %q, %v", target, err)
	}
	text, err := os.ReadFile(filepath.Join(root, "gdk-config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Component map[string]struct {
			Version string
			Build   struct {
				BuildSystem string   `json:"build_system"`
				Command     []string `json:"custom_build_command"`
			}
		}
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	own, ok := c.Component["io.brainseg.BrainSegmentation"]
	if len(c.Component) != 1 || !ok || own.Build.BuildSystem != "custom" || cmp.Diff(own.Build.Command, []string{"make", "gdk"}) != "" {
		t.Errorf("gdk-config.json says %+v", c)
	}
}

const good = `
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.Brain
ComponentVersion: "1.2.3-rc.1+4"
ComponentDependencies:
  com.example.Model: {VersionRequirement: ^1.0.0, DependencyType: HARD}
ComponentConfiguration:
  DefaultConfiguration:
    level: info
    accessControl:
      aws.greengrass.ipc.pubsub:
        com.example.Brain:pubsub:1: {policyDescription: d, operations: ["aws.greengrass#PublishToTopic"], resources: [a/b]}
Manifests:
  - Name: one
    Platform: {os: linux, architecture: aarch64, runtime: "*"}
    Artifacts:
      - {Uri: "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/brain.zip", Unarchive: ZIP, Permission: {Read: ALL, Execute: OWNER}}
    Lifecycle:
      install: "mkdir -p {work:path}/x"
      startup: {Script: "exec {artifacts:decompressedPath}/brain/brain {configuration:/level}", Timeout: 60}
`

func TestCheckNamesWhatIsWrong(t *testing.T) {
	if _, err := Check([]byte(good)); err != nil {
		t.Fatalf("the recipe that the others vary: %v", err)
	}
	tests := []struct{ name, old, new, want string }{
		{"no YAML", "\nRecipe", "\n\t{", "recipe is not valid"},
		{"too large", `Brain
Comp`, "Brain\n#" + strings.Repeat("x", MaxBytes) + "\nComp", "can be published"},
		{"a key twice", "ComponentVersion:", "ComponentName: x\nComponentVersion:", "already defined"},
		{"format", "2020-01-25", "2020-01-26", "must be 2020-01-25"},
		{"name", "ComponentName: com.example.Brain", "ComponentName: com/example", "ComponentName"},
		{"version", "1.2.3-rc.1+4", "1.2", "semantic version"},
		{"key of the document in the wrong case", "Manifests:", "manifests:", "field manifests not found"},
		{"Uri in the wrong case", "Uri:", "URI:", "field URI not found"},
		{"step in the wrong case", "startup:", "Startup:", "Lifecycle.Startup is not done by both"},
		{"script in the wrong case", "{Script:", "{script:", "field script not found"},
		{"step that lite lacks", "install:", "shutdown:", "Lifecycle.shutdown is not done by both"},
		{"condition that lite lacks", "Timeout: 60", `Skipif: "exists /x"`, "field Skipif not found"},
		{"root", "Timeout: 60", "RequiresPrivilege: true", "asks for root"},
		{"no runtime", `, runtime: "*"`, "", "only \"*\" matches"},
		{"architecture in Go's words", "aarch64", "arm64", "must be one of amd64, aarch64"},
		{"other system", "os: linux", "os: windows", "must be linux"},
		{"shell variable with a brace", "{work:path}/x", "${HOME:-x}", "{HOME:-x}, which nucleus lite does not know"},
		{"stray brace", "{work:path}/x", "x}", "stray brace"},
		{"brace that is not closed", "{work:path}/x", "x{", "stray brace"},
		{"variable of another component", "{work:path}", "{com.example.Model:artifacts:path}", "does not know"},
		{"setting without default", "{configuration:/level}", "{configuration:/other}", "has no value"},
		{"setting that is an object", "{configuration:/level}", "{configuration:/accessControl}", "has no value"},
		{"folder of no artifact", "decompressedPath}/brain/", "decompressedPath}/brian/", "folder brian"},
		{"folder of an artifact that is not unpacked", "Unarchive: ZIP", "Unarchive: NONE", "folder brain"},
		{"other archive", "Unarchive: ZIP", "Unarchive: TAR", "must be NONE or ZIP"},
		{"zip without the name of one", "brain.zip", "brain.tar", "must end in .zip"},
		{"artifact elsewhere", "s3://BUCKET_NAME", "https://example.com", "must be s3://"},
		{"permission", "Read: ALL", "Read: all", "Permission.Read"},
		{"startup that lite's own commands follow", `"exec {artifacts`, `"{artifacts`, "must end with exec or exit"},
		{"startup and run", "install:", "run:", "both startup and run"},
		{"script of nothing", `"mkdir -p {work:path}/x"`, `" "`, "no Script"},
		{"dependency without a range", "VersionRequirement: ^1.0.0, ", "", "no VersionRequirement"},
		{"dependency of no type", ", DependencyType: HARD", "", "must say HARD or SOFT"},
		{"wildcard in a topic", "[a/b]", `["a/*"]`, "must be an exact topic"},
		{"wildcard operation", `["aws.greengrass#PublishToTopic"]`, `["*"]`, "operation * must be one of"},
		{"operation of another service", "#PublishToTopic", "#PublishToIoTCore", "must be one of"},
		{"policy id of another component", "com.example.Brain:pubsub:1", "pubsub:1", "must begin with com.example.Brain:"},
		{"policy without topics", "resources: [a/b]", "resources: []", "names no resources"},
		{"policy with a typo", "resources: [a/b]", "resource: [a/b]", "unknown key resource"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(good, tt.old, tt.new, 1)
			if text == good {
				t.Fatalf("%q does not occur", tt.old)
			}
			_, err := Check([]byte(text))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestCheckTogetherFindsWhatOneRecipeDoesToAnother(t *testing.T) {
	check := func(text string) *Recipe {
		t.Helper()
		r, err := Check([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	brain := check(good)
	other := strings.NewReplacer("ComponentName: com.example.Brain", "ComponentName: com.example.Model", "com.example.Brain:pubsub", "com.example.Model:pubsub",
		"com.example.Model: {V", "com.example.Other: {V").Replace(good)
	model := check(other)
	if err := CheckTogether(brain, model); err != nil {
		t.Errorf("two recipes that go together: %v", err)
	}

	onlyInstalled := check(other[:strings.Index(other, "      startup:")])
	if err := CheckTogether(brain, onlyInstalled); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "neither startup nor run") {
		t.Errorf("hard dependency on what is only installed: %v", err)
	}
	if err := CheckTogether(brain, brain); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "policy id com.example.Brain:pubsub:1") {
		t.Errorf("one policy id twice: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"Manifests":[{"Lifecycle":{"run":"{"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Check(text)
		if err == nil && (r.Name == "" || len(r.Manifests) == 0) {
			t.Errorf("accepted %+v", r)
		}
		if _, parseErr := Parse(text); err == nil && parseErr != nil {
			t.Errorf("Check takes what Parse refuses: %v", parseErr)
		}
	})
}
