package greengrass

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/schemas"
)

// layModel makes a model out of the small one below root, under another version.
func layModel(t *testing.T, root, version string, change func(*model.Manifest)) {
	t.Helper()
	folder := filepath.Join(root, version)
	if err := os.CopyFS(folder, os.DirFS(modelDir(t))); err != nil {
		t.Fatal(err)
	}
	manifest, err := model.ReadManifest(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest.Version = version
	change(manifest)
	document, err := json.Marshal(manifest)
	if err := errors.Join(err, os.WriteFile(filepath.Join(folder, model.ManifestName), document, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// lead has a link lead to a folder beside it, at once.
func lead(t *testing.T, link, version string) {
	t.Helper()
	if err := errors.Join(os.Symlink(version, link+".new"), os.Rename(link+".new", link)); err != nil {
		t.Fatal(err)
	}
}

func TestTheStartWaitsForTheFirstModelAndLaterOnesMayBeBad(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	link := filepath.Join(root, "current")
	layModel(t, root, "1", func(*model.Manifest) {})
	layModel(t, root, "damaged", func(m *model.Manifest) { m.SHA256 = strings.Repeat("0", 64) })
	d := newDevice(t, nucleus.Lite, map[string]any{"model": map[string]any{"path": link, "library": library(t)}})
	d.watch, d.keep, d.await = 20*time.Millisecond, filepath.Join(t.TempDir(), "model"), patience
	d.slice("a.png")
	linked := make(chan error, 1)
	go func() { // what is asked for meanwhile is heard
		for !d.nucleus.Hears(ComponentName, requestTopic) {
			time.Sleep(time.Millisecond)
		}
		early := d.nucleus.Publish(requestTopic, []byte(`{"id":"early","image":{"path":"a.png"}}`))
		linked <- errors.Join(early, os.Symlink("1", link))
	}()
	d.launch()
	if err := <-linked; err != nil {
		t.Fatal(err)
	}
	if r := next(t, d.results); r.ID != "early" || r.Error != nil {
		t.Fatalf("%+v, error %+v", r, r.Error)
	}
	if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil || r.Model.Version != "1" {
		t.Fatalf("model %+v, error %+v", r.Model, r.Error)
	}
	d.stop() // a copy that is being made is finished before the end
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	lead(t, link, "damaged")
	if err := os.RemoveAll(filepath.Join(root, "1")); err != nil {
		t.Fatal(err)
	}
	d.launch()
	d.awaitStatus("Error: the new model is refused and the one before stays in use: the model file does not have the checksum")
	if r := d.ask(`{"id":"2","image":{"path":"a.png"}}`); r.Error != nil || r.Model.Version != "1" {
		t.Errorf("after the restart: model %+v, error %+v", r.Model, r.Error)
	}
}

func TestANewModelIsRefusedTakenOrTriedWhileTheComponentRuns(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		root := t.TempDir()
		link := filepath.Join(root, "current")
		lead := func(version string) { t.Helper(); lead(t, link, version) }
		nothing := func(*model.Manifest) {}
		layModel(t, root, "1", nothing)
		layModel(t, root, "damaged", func(m *model.Manifest) { m.SHA256 = strings.Repeat("0", 64) })
		layModel(t, root, "2", nothing)
		layModel(t, root, "3", nothing)
		lead("1")
		d := newDevice(t, profile, map[string]any{"model": map[string]any{"path": link, "library": library(t)}})
		d.watch = 20 * time.Millisecond
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		asked := 0
		answeredBy := func(versions ...string) {
			t.Helper()
			asked++
			if r := d.ask(`{"id":"` + strconv.Itoa(asked) + `","image":{"path":"a.png"}}`); r.Error != nil || !slices.Contains(versions, r.Model.Version) {
				t.Fatalf("model %+v, error %+v, want version %q", r.Model, r.Error, versions)
			}
		}
		answeredBy("1")
		lead("damaged")
		d.awaitStatus("Error: the new model is refused and the one before stays in use: the model file does not have the checksum")
		answeredBy("1")
		lead("2")
		d.awaitStatus(request.MessageModelLoaded)
		answeredBy("2")

		d.configure(map[string]any{"model": map[string]any{"canary": 3}})
		d.awaitStatus("Configuration changed.")
		d.awaitStatus("Ready.")
		lead("3")
		d.awaitStatus(request.MessageModelOnTrial)
		for passed := false; !passed; {
			answeredBy("2", "3") // it takes over before it is told
			for told := true; told && !passed; {
				select {
				case s := <-d.statuses:
					passed = s.Message == "New model passed its trial: agreement 1.000 in 3 slices."
				default:
					told = false
				}
			}
			if asked > 10_000 {
				t.Fatal("the trial does not end")
			}
		}
		d.awaitStatus(request.MessageModelLoaded)
		answeredBy("3")

		d.publish(`{"health": true}`)
		var s request.Status
		for s.Health == nil {
			s = next(t, d.statuses)
		}
		trial := s.Health.Models.Trial
		if m := s.Health.Models; m.Loaded != 2 || m.Refused != 1 || trial == nil || trial.State != request.TrialPassed || trial.Agreement != 1 || trial.Model.Version != "3" {
			t.Errorf("health: %+v, trial: %+v", m, trial)
		}
		if document, err := s.Encode(); err != nil || !validates(t, schemas.Status, document) {
			t.Errorf("the status does not fit its schema: %s, %v", document, err)
		}
	})
}
