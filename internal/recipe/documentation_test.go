package recipe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
)

// blocks returns the fenced blocks of a language in a document.
func blocks(t *testing.T, document, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", document))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, match := range regexp.MustCompile("(?ms)^ *```"+language+"$(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		list = append(list, match[1])
	}
	if len(list) == 0 {
		t.Fatalf("%s has no %s", document, language)
	}
	return list
}

// checkMerge holds what a deployment merges to what the component reads.
func checkMerge(t *testing.T, merge string) {
	t.Helper()
	if _, unknown, err := config.Parse([]byte(merge)); err != nil || len(unknown) > 0 {
		t.Errorf("%s\nmerges what the component does not take: error %v, unknown keys %q", merge, err, unknown)
	}
}

func TestTheDeploymentDocumentsInTheDocumentationAreWhatGreengrassAndTheComponentTake(t *testing.T) {
	deployments := 0
	for _, block := range blocks(t, "deployment.md", "json") {
		var d struct {
			TargetARN  string `json:"targetArn"`
			Components map[string]struct {
				Version       string `json:"componentVersion"`
				Configuration struct {
					Merge string   `json:"merge"`
					Reset []string `json:"reset"`
				} `json:"configurationUpdate"`
			} `json:"components"`
		}
		if err := json.Unmarshal([]byte(block), &d); err != nil {
			t.Errorf("%s\nis no JSON: %v", block, err)
		}
		if d.TargetARN == "" {
			continue // a policy
		}
		deployments++
		if !strings.HasPrefix(d.TargetARN, "arn:aws:iot:") || len(d.Components) == 0 {
			t.Errorf("%s\nis no deployment", block)
		}
		for name, c := range d.Components {
			if !versionPattern.MatchString(c.Version) || !strings.HasPrefix(name, "io.brainseg.BrainSegmentation") {
				t.Errorf("component %q in version %q", name, c.Version)
			}
			if c.Configuration.Merge != "" {
				checkMerge(t, c.Configuration.Merge)
			}
			for _, pointer := range c.Configuration.Reset {
				if pointer != "" && !strings.HasPrefix(pointer, "/") {
					t.Errorf("%q is no JSON pointer", pointer)
				}
			}
		}
	}
	if deployments < 4 {
		t.Errorf("there are %d deployment documents", deployments)
	}
	for _, block := range blocks(t, "configuration.md", "json") {
		checkMerge(t, block)
	}
}

func TestTheRecipeInTheDocumentationKeepsTheRules(t *testing.T) {
	yaml := blocks(t, "sending-requests.md", "yaml")
	// What it adds to a recipe, in one that is complete.
	text := good[:strings.Index(good, "ComponentDependencies:")] + yaml[0] + yaml[1] + good[strings.Index(good, "Manifests:"):]
	text = strings.NewReplacer("ComponentName: com.example.Brain", "ComponentName: com.example", "com.example.Mine:", "com.example:",
		"com.example.Relay:", "com.example:", "{configuration:/level}", "").Replace(text)
	if _, err := Check([]byte(text)); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
