package nucleus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
)

// TestOfficialSDKWorksWithBothProfiles runs AWS' own Python client against the
// nucleus. The checks are in testdata/sdk/judge.py; each is a subtest.
func TestOfficialSDKWorksWithBothProfiles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a Python program for some seconds")
	}
	python, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import awsiot.greengrasscoreipc").Run(); err != nil {
		t.Fatalf("AWS' SDK for Python is not installed (%v): run `make test-servers` at the top of the repository", err)
	}
	for _, profile := range []Profile{Classic, Lite} {
		t.Run(profile.String(), func(t *testing.T) {
			n := start(t, Options{Profile: profile, Components: []Component{
				{Name: "com.example.Judge", Configuration: map[string]any{
					"model": map[string]any{"threads": 2, "name": "x"},
					"live":  map[string]any{"level": "info", "kept": "yes"},
					"accessControl": map[string]any{
						accesscontrol.PubSub: policies("p", accesscontrol.PubSub, []string{"*"}, "judge/*")[accesscontrol.PubSub],
						accesscontrol.MQTT:   policies("m", accesscontrol.MQTT, []string{"*"}, "judge/#")[accesscontrol.MQTT],
					},
				}},
				{Name: "com.example.Other", Configuration: map[string]any{"colour": "blue"}},
				{Name: "aws.greengrass.StreamManager"},
			}})
			stop := playCloud(t, n)
			defer stop()

			cmd := exec.CommandContext(t.Context(), python, "testdata/sdk/judge.py", profile.String())
			cmd.Env = append(os.Environ(), n.Env("com.example.Judge")...)
			cmd.Env = append(cmd.Env, "STREAM_MANAGER_TOKEN="+n.Token("aws.greengrass.StreamManager"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("judge: %v\n%s%s", err, out, stderr.String())
			}
			ran := 0
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); ran++ {
				var result struct{ Check, Error string }
				if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
					t.Fatalf("judge said %q: %v", lines.Text(), err)
				}
				t.Run(result.Check, func(t *testing.T) {
					if result.Error != "" {
						t.Error(result.Error)
					}
				})
			}
			if want := countChecks(t); ran != want {
				t.Errorf("%d checks ran, want %d\n%s", ran, want, stderr.String())
			}
			if state := n.State("com.example.Judge"); state != "RUNNING" {
				t.Errorf("state of the component: got %q, want RUNNING", state)
			}
		})
	}
}

func countChecks(t *testing.T) int {
	source, err := os.ReadFile("testdata/sdk/judge.py")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(source), "\n@check\n")
}

// playCloud does what the judge asks for, as the cloud and a deployment would.
func playCloud(t *testing.T, n *Nucleus) (stop func()) {
	wishes, cancel := n.SubscribeCloud("judge/+")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wish := range wishes {
			var err error
			switch wish.Topic {
			case "judge/say":
				err = n.PublishFromCloud("judge/cloud/said", []byte("from the cloud"))
			case "judge/merge":
				err = n.MergeConfiguration("com.example.Judge", []string{"live"}, map[string]any{"deployed": true})
			case "judge/update":
				err = n.BeginUpdate(t.Context(), "deployment-1")
			case "judge/offline":
				n.SetOnline(false)
				err = n.Publish("judge/acknowledged", nil)
				for tried := false; !tried && t.Context().Err() == nil; time.Sleep(time.Millisecond) {
					_, tried = n.Configuration("com.example.Judge", "signal", "tried")
				}
				n.SetOnline(true)
				err = errors.Join(err, n.Publish("judge/acknowledged", nil))
			}
			if err != nil {
				t.Errorf("%s: %v", wish.Topic, err)
			}
		}
	}()
	return func() { cancel(); <-done }
}
