package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/workfolder"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
)

func TestAllMakesTheSameComponentAgainAndTheSecondRunDoesNothing(t *testing.T) {
	s := newSite(t)
	artifact := tarGz(t, modelFiles(t, "threshold"))
	job := s.train(t, artifact)

	first := mustRun(t, s.all("a", "--training-job", job)...)
	if !strings.Contains(first.stderr, "5 steps taken, 0 up to date") {
		t.Errorf("the first run said\n%s", first.stderr)
	}
	zip := s.zip(t, "a")
	s.proxy.Set(awstest.Fault{})
	before := treeOf(t, filepath.Join(s.dir, "a-work"))
	second := mustRun(t, s.all("a", "--training-job", job)...)
	if !strings.Contains(second.stderr, "0 steps taken, 5 up to date") || s.proxy.Requests("GET") != 0 {
		t.Errorf("the second run fetched %d times and said\n%s", s.proxy.Requests("GET"), second.stderr)
	}
	if diff := cmp.Diff(before, treeOf(t, filepath.Join(s.dir, "a-work"))); diff != "" {
		t.Errorf("the second run changed files:\n%s", diff)
	}
	if !bytes.Equal(zip, s.zip(t, "a")) {
		t.Error("the second run made another zip")
	}
	// From nothing, in other folders, with other measured times.
	mustRun(t, s.all("b", "--training-job", job)...)
	if !bytes.Equal(zip, s.zip(t, "b")) {
		t.Error("a run from nothing makes another zip")
	}
	checkProvenance(t, s, job, artifact)
	for _, name := range []string{model.SelfTestSliceName, model.SelfTestMaskName} {
		if len(zipEntry(t, zip, name)) == 0 {
			t.Errorf("devices have no %s to test the model with", name)
		}
	}
}

// treeOf lists the files below dir with their times.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			tree[path] = info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// checkProvenance looks at the manifest that goes to the devices.
func checkProvenance(t *testing.T, s *site, job string, artifact []byte) {
	t.Helper()
	unpacked := filepath.Join(t.TempDir(), "model")
	mustRun(t, "convert", "--file", filepath.Join(s.dir, "a-work", "package", "model.zip"), "--out", unpacked)
	manifest, err := model.ParseManifest(zipEntry(t, s.zip(t, "a"), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	record, err := manifest.Record()
	if err != nil {
		t.Fatal(err)
	}
	network := sumOf(modelFiles(t, "threshold")["model.onnx"])
	switch j := record.TrainingJob; {
	case j == nil || j.ARN != "arn:aws:sagemaker:eu-west-1:123456789012:training-job/"+job || j.Hyperparameters["network"] != "enet" || j.Ended == nil:
		t.Errorf("training job %+v", j)
	case record.Artifact.Source != "s3://"+s.bucket+"/"+s.key(job) || record.Artifact.VersionID == "" || record.Artifact.SHA256 != sumOf(artifact):
		t.Errorf("artifact %+v", record.Artifact)
	case len(record.Steps) != 2 || record.Steps[0].SHA256 != network:
		t.Errorf("steps %+v", record.Steps)
	case !cmp.Equal(record.Metrics, map[string]any{"validation": map[string]any{"dice": map[string]any{"csf": 0.75}}}):
		t.Errorf("metrics %v", record.Metrics)
	case record.Verification == nil || len(record.Verification.Golden) != 2 || record.Verification.Measured != nil:
		t.Errorf("verification %+v", record.Verification)
	case record.Tool != "model-build "+Version:
		t.Errorf("tool %s", record.Tool)
	}
	for _, secret := range []string{"sub-09", s.dir} {
		if bytes.Contains(manifest.Provenance, []byte(secret)) {
			t.Errorf("the manifest has %s in it", secret)
		}
	}
	if card := zipEntry(t, s.zip(t, "a"), "MODEL_CARD.md"); string(card) != "# Card\n" {
		t.Errorf("card %q", card)
	}
}

func TestAStepIsTakenAgainOnlyWhereSomethingChanged(t *testing.T) {
	s := newSite(t)
	files := modelFiles(t, "threshold")
	job := s.train(t, tarGz(t, files))
	args := s.all("a", "--training-job", job)
	mustRun(t, args...)
	for _, test := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"nothing", func() {}, nil},
		{"a golden slice", func() { writePNG(t, filepath.Join(s.golden, "a.png"), noise(3, 40, 40)) }, []string{"optimise", "verify", "package"}},
		{"a file that a step made", func() { writeFile(t, filepath.Join(s.dir, "a-work", "verify", "model.onnx"), []byte("damaged")) }, []string{"verify", "package"}},
		{"a file is missing", func() { os.Remove(filepath.Join(s.dir, "a-work", "package", "model.zip")) }, []string{"package"}},
		{"the artifact", func() {
			files["metrics.json"] = []byte(`{"epochs": 3}`)
			s.put(t, s.key(job), tarGz(t, files))
		}, []string{"pull", "convert", "optimise", "verify", "package"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.change()
			o := mustRun(t, args...)
			var taken []string
			for _, step := range []string{"pull", "convert", "optimise", "verify", "package"} {
				if !strings.Contains(o.stderr, step+": up to date") {
					taken = append(taken, step)
				}
			}
			if diff := cmp.Diff(test.want, taken); diff != "" {
				t.Errorf("steps taken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllPublishesOnce(t *testing.T) {
	s := newSite(t)
	greengrass := awstest.UseGreengrass(t)
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	args := s.all("a", "--training-job", job, "--bucket", s.bucket)

	dry := mustRun(t, append(args, "--dry-run")...)
	if len(greengrass.Components()) != 0 || !strings.Contains(dry.stdout, "Would upload s3://"+s.bucket+"/io.brainseg.BrainSegmentation.Model/1.0.0/model.zip") {
		t.Errorf("the dry run made %d components and said\n%s", len(greengrass.Components()), dry.stdout)
	}
	for range 2 {
		o := mustRun(t, args...)
		if !strings.Contains(o.stdout, "Published io.brainseg.BrainSegmentation.Model 1.0.0") || !strings.Contains(o.stdout, "Revise") {
			t.Errorf("it said\n%s", o.stdout)
		}
		if n := len(greengrass.Components()); n != 1 {
			t.Errorf("%d components were made", n)
		}
	}
}

func TestAPublicationThatWasInterruptedIsFinishedAndNotMadeTwice(t *testing.T) {
	s := newSite(t)
	greengrass := awstest.UseGreengrass(t)
	greengrass.Describes = 1
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	args := s.all("a", "--training-job", job, "--bucket", s.bucket)
	if o := run(t, append(args, "--wait", "1ns")...); o.code != ExitFailed || !strings.Contains(o.stderr, "is not ready yet at Greengrass") {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	o := mustRun(t, args...)
	if !strings.Contains(o.stdout, "Published io.brainseg.BrainSegmentation.Model 1.0.0") || len(greengrass.Components()) != 1 {
		t.Errorf("%d components\n%s%s", len(greengrass.Components()), o.stderr, o.stdout)
	}
	// One that Greengrass cannot use is not waited for again.
	greengrass.Failure = "Specified artifact resource cannot be accessed"
	args = s.all("b", "--training-job", job, "--bucket", s.bucket)
	if o := run(t, args...); o.code != ExitFailed || !strings.Contains(o.stderr, "s3:GetObject") {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	greengrass.Failure = ""
	if o := mustRun(t, args...); !strings.Contains(o.stdout, "1.0.2") {
		t.Errorf("it said\n%s", o.stdout)
	}
}

// journalled returns how many bytes the journals of transfers have.
func journalled(t *testing.T, pattern string) (total int64) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var state struct{ Done []struct{ Start, End int64 } }
		document, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(document, &state)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, done := range state.Done {
			total += done.End - done.Start
		}
	}
	return total
}

func TestAProgramThatIsKilledGoesOnWhereItStopped(t *testing.T) {
	s := newSite(t)
	files := modelFiles(t, "threshold")
	ballast := make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{1}).Read(ballast)
	files["checkpoint.bin"] = ballast
	artifact := tarGz(t, files)
	job := s.train(t, artifact)
	args := s.all("a", "--training-job", job)

	s.proxy.Set(awstest.Fault{Pause: 2 * time.Millisecond, StallAfter: 20 << 20})
	killed := program(t, args...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	// The journal is written every 8 MiB, of what has come through all buffers on the way.
	journal := filepath.Join(s.dir, "a-cache", "partial", "*", "journal")
	for deadline := time.Now().Add(2 * time.Minute); journalled(t, journal) < 16<<20 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := killed.Wait(); err == nil {
		t.Fatal("the program ended before it was killed")
	}
	if entries, err := os.ReadDir(filepath.Join(s.dir, "a-cache", "sha256")); err != nil || len(entries) > 0 {
		t.Errorf("the cache has %v (%v)", entries, err)
	}
	s.proxy.Set(awstest.Fault{})
	if output, err := program(t, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("%d bytes came before the end, %d of %d after it", 20<<20, s.proxy.Passed(), len(artifact))
	if s.proxy.Passed() > int64(len(artifact))-(8<<20) { // the rest is room for all that is asked besides
		t.Errorf("%d of %d bytes were fetched again", s.proxy.Passed(), len(artifact))
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "a-cache", "sha256"))
	if err != nil || len(entries) != 1 || entries[0].Name() != sumOf(artifact) {
		t.Errorf("the cache has %v (%v)", entries, err)
	}
	s.zip(t, "a")
}

func TestAModelBelowTheLeastDiceIsNotPackaged(t *testing.T) {
	s := newSite(t)
	labels := filepath.Join(s.dir, "labels")
	writePNG(t, filepath.Join(labels, "s.png"), noise(5, 40, 40))
	writePNG(t, filepath.Join(labels, "s_mask.png"), noise(6, 40, 40)) // replaced below
	mask := noise(6, 40, 40)
	for i := range mask.Pix {
		mask.Pix[i] %= 3
	}
	writePNG(t, filepath.Join(labels, "s_mask.png"), mask)
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	o := run(t, s.all("a", "--training-job", job, "--labels", labels, "--min-dice", "0.9")...)
	if o.code != ExitFailed || !strings.Contains(o.stderr, "not accurate enough: mean Dice 0.") || !strings.Contains(o.stderr, "0.9000") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "a-work", "package")); err == nil {
		t.Error("it was packaged")
	}
	mustRun(t, s.all("a", "--training-job", job, "--labels", labels, "--min-dice", "0.05")...)
	var manifest map[string]any
	if err := json.Unmarshal(zipEntry(t, s.zip(t, "a"), "manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(manifest["provenance"]), "meanDice") {
		t.Errorf("no accuracy in %v", manifest["provenance"])
	}
	// The package of the run that passed does not stay for somebody to publish.
	o = run(t, s.all("a", "--training-job", job, "--labels", labels, "--min-dice", "0.9")...)
	if _, err := os.Stat(filepath.Join(s.dir, "a-work", "package")); o.code != ExitFailed || err == nil {
		t.Errorf("exit code %d, and a package is left: %v", o.code, err == nil)
	}
}

func TestTwoRunsInOneWorkFolderDoNotMeet(t *testing.T) {
	s := newSite(t)
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	p, err := workfolder.Open(filepath.Join(s.dir, "a-work"), "test", t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if o := run(t, s.all("a", "--training-job", job)...); o.code != ExitFailed || !strings.Contains(o.stderr, "another model-build works in") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, s.all("a", "--training-job", job)...)
}
