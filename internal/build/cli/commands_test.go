package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/build/artifactfolder"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func zipEntry(t *testing.T, archive []byte, name string) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestTheStepsCanBeTakenOneByOne(t *testing.T) {
	s := newSite(t)
	greengrass := awstest.UseGreengrass(t)
	artifact := tarGz(t, modelFiles(t, "threshold"))
	job := s.train(t, artifact)
	at := func(name string) string { return filepath.Join(s.dir, name) }

	o := mustRun(t, "pull", "--training-job", job, "--cache", at("cache"), "--out", at("pulled"))
	if o.stdout != filepath.Join(at("pulled"), "artifact")+"\n" {
		t.Errorf("pull said %q", o.stdout)
	}
	if got := string(readFile(t, at("pulled"), "artifact", "code", "train.py")); got != "print('training')\n" {
		t.Errorf("train.py is %q", got)
	}
	mustRun(t, "convert", "--file", at("pulled"), "--out", at("converted"))
	mustRun(t, "optimize", "--model", at("converted"), "--golden", s.golden, "--out", at("optimised"))
	mustRun(t, "verify", "--model", at("optimised"), "--golden", s.golden)
	_, record, err := model.Read(at("optimised"))
	if err != nil || record.TrainingJob.Name != job || record.Verification.Measured.P50 <= 0 || len(record.Verification.Golden) != 2 {
		t.Errorf("record %+v, %v", record, err)
	}
	mustRun(t, "package", "--model", at("optimised"), "--out", at("package"))
	o = mustRun(t, "publish", "--package", at("package"), "--bucket", s.bucket, "--dry-run")
	if !strings.Contains(o.stdout, "Uri: s3://"+s.bucket+"/io.brainseg.BrainSegmentation.Model/1.0.0/model.zip") || len(greengrass.Components()) > 0 {
		t.Errorf("the dry run said\n%s", o.stdout)
	}
	o = mustRun(t, "publish", "--package", at("package"), "--bucket", s.bucket)
	if !strings.Contains(o.stdout, "Published") || len(greengrass.Components()) != 1 {
		t.Errorf("publish said\n%s", o.stdout)
	}
	// all makes the same zip as the steps by themselves.
	mustRun(t, s.all("a", "--training-job", job)...)
	if !bytes.Equal(s.zip(t, "a"), readFile(t, at("package"), "model.zip")) {
		t.Error("the steps by themselves make another zip")
	}
}

func TestAnArtifactComesFromS3OrAFileToo(t *testing.T) {
	s := newSite(t)
	old, young := tarGz(t, modelFiles(t, "threshold")), tarGz(t, modelFiles(t, "values"))
	key := "x/model.tar.gz"
	version := s.put(t, key, old)
	s.put(t, key, young)
	file := filepath.Join(s.dir, "mine.tar.gz")
	writeFile(t, file, old)
	for name, test := range map[string]struct {
		args []string
		want []byte
	}{
		"the newest":    {[]string{"--s3", "s3://" + s.bucket + "/" + key}, young},
		"an older":      {[]string{"--s3", "s3://" + s.bucket + "/" + key, "--version-id", version}, old},
		"a file":        {[]string{"--file", file, "--sha256", sumOf(old)}, old},
		"with a digest": {[]string{"--s3", "s3://" + s.bucket + "/" + key, "--sha256", sumOf(young)}, young},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			mustRun(t, append([]string{"pull", "--cache", filepath.Join(s.dir, "cache"), "--out", out}, test.args...)...)
			var origin artifactfolder.Origin
			if err := json.Unmarshal(readFile(t, out, "pulled.json"), &origin); err != nil {
				t.Fatal(err)
			}
			if origin.Artifact.SHA256 != sumOf(test.want) || origin.TrainingJob != nil || strings.Contains(origin.Artifact.Source, s.dir) {
				t.Errorf("origin %+v", origin.Artifact)
			}
		})
	}
	for _, args := range [][]string{{"--file", file, "--sha256", sumOf(young)}, {"--s3", "s3://" + s.bucket + "/" + key, "--sha256", sumOf(old)}} {
		out := filepath.Join(t.TempDir(), "out")
		o := run(t, append([]string{"pull", "--cache", filepath.Join(s.dir, "cache"), "--out", out}, args...)...)
		if o.code != ExitFailed || !strings.Contains(o.stderr, "expected checksum") {
			t.Errorf("another digest than asked for: exit code %d\n%s", o.code, o.stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Error("something was unpacked")
		}
	}
}

func TestWhatSageMakerSaysIsPassedOn(t *testing.T) {
	s := newSite(t)
	job := s.train(t, []byte("nothing"))
	out := filepath.Join(s.dir, "out")
	o := run(t, "pull", "--training-job", "absent", "--cache", filepath.Join(s.dir, "cache"), "--out", out)
	if o.code != ExitFailed || !strings.Contains(o.stderr, "no such training job") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	s.moto.SetJob(t, job, "Failed", "Failed", "AlgorithmError: no data")
	o = run(t, "pull", "--training-job", job, "--cache", filepath.Join(s.dir, "cache"), "--out", out)
	if o.code != ExitFailed || !strings.Contains(o.stderr, "AlgorithmError: no data") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

func TestAnArtifactThatWouldDoHarmLeavesNothing(t *testing.T) {
	s := newSite(t)
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	w.WriteHeader(&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: s.dir})
	w.WriteHeader(&tar.Header{Name: "link/evil", Mode: 0o644, Size: 4})
	w.Write([]byte("evil"))
	w.Close()
	zipped.Close()
	job := s.train(t, b.Bytes())
	o := run(t, s.all("a", "--training-job", job)...)
	if o.code != ExitFailed || !strings.Contains(o.stderr, "not allowed") || !strings.Contains(o.stderr, "symbolic link") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "evil")); err == nil {
		t.Error("a file was written outside")
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "a-work"))
	if err != nil || len(entries) != 1 { // the lock
		t.Errorf("the work folder has %v (%v)", entries, err)
	}
}

func TestAModelThatCannotBeConvertedIsNamed(t *testing.T) {
	files := modelFiles(t, "threshold")
	without := func(names ...string) map[string][]byte {
		left := make(map[string][]byte)
		for name, content := range files {
			left[name] = content
		}
		for _, name := range names {
			delete(left, name)
		}
		return left
	}
	with := func(name string, content []byte) map[string][]byte {
		changed := without()
		changed[name] = content
		return changed
	}
	for name, test := range map[string]struct {
		files map[string][]byte
		says  string
	}{
		"no model":                   {without("model.onnx"), "neither NAME.onnx nor NAME-symbol.json"},
		"no manifest":                {without("manifest.json"), "--manifest"},
		"two models":                 {with("other.onnx", []byte("x")), "there are several"},
		"another model":              {with("model.onnx", modelFiles(t, "values")["model.onnx"]), "expected checksum"},
		"a model that is no ONNX":    {with("model.onnx", []byte("none")), ""},
		"a manifest of another kind": {with("manifest.json", []byte(`{"schemaVersion": 3}`)), "schemaVersion is 3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "model.tar.gz")
			writeFile(t, path, tarGz(t, test.files))
			o := run(t, "convert", "--file", path, "--out", filepath.Join(dir, "out"))
			if name == "another model" {
				test.says = "sha256"
			}
			if o.code != ExitFailed || !strings.Contains(o.stderr, test.says) {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			entries, _ := os.ReadDir(dir)
			if len(entries) != 1 {
				t.Errorf("%v is left", entries)
			}
		})
	}
}

func TestAModelWithoutAManifestTakesOneThatIsGiven(t *testing.T) {
	dir := t.TempDir()
	files := modelFiles(t, "threshold")
	var manifest map[string]any
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	delete(manifest, "sha256")
	delete(manifest, "file")
	document, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	given := filepath.Join(dir, "given.json")
	writeFile(t, given, document)
	writeFile(t, filepath.Join(dir, "model", "net.onnx"), files["model.onnx"])
	out := filepath.Join(dir, "out")
	mustRun(t, "convert", "--file", filepath.Join(dir, "model"), "--manifest", given, "--out", out)
	m, err := segmentation.Open(out, segmentation.Options{Library: awstest.Library(t)})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	manifest["input"].(map[string]any)["name"] = "picture"
	document, _ = json.Marshal(manifest)
	writeFile(t, given, document)
	o := run(t, "convert", "--file", filepath.Join(dir, "model"), "--manifest", given, "--out", filepath.Join(dir, "out2"))
	if o.code != ExitFailed || !strings.Contains(o.stderr, "no input picture") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
}

func TestWhatIsNotThereIsSaidBeforeTheWork(t *testing.T) {
	dir := t.TempDir()
	artifact := filepath.Join(dir, "model.tar.gz")
	writeFile(t, artifact, tarGz(t, modelFiles(t, "threshold")))
	for _, flag := range []string{"--golden", "--labels", "--library", "--manifest"} {
		o := run(t, "all", "--file", artifact, "--work", filepath.Join(dir, "work"), "--cache", filepath.Join(dir, "cache"), flag, filepath.Join(dir, "absent"))
		if o.code != ExitFailed || !strings.Contains(o.stderr, flag+": stat") {
			t.Errorf("%s: exit code %d\n%s", flag, o.code, o.stderr)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestMessagesNameTheArtifactAsTheUserDoes(t *testing.T) {
	dir := t.TempDir()
	artifact := filepath.Join(dir, "model.tar.gz")
	writeFile(t, artifact, tarGz(t, modelFiles(t, "threshold")))
	pull := []string{"pull", "--file", artifact, "--out", filepath.Join(dir, "out"), "--cache", filepath.Join(dir, "cache")}
	if o := run(t, append(pull, "--max-files", "1")...); o.code != ExitFailed || !strings.Contains(o.stderr, "unpack model.tar.gz: ") || !strings.Contains(o.stderr, "--max-files") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	writeFile(t, artifact, []byte("not packed"))
	if o := run(t, pull...); o.code != ExitFailed || !strings.Contains(o.stderr, "unpack model.tar.gz: ") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	// In capitals, as some programs write digests.
	writeFile(t, artifact, tarGz(t, modelFiles(t, "threshold")))
	mustRun(t, append(pull, "--sha256", strings.ToUpper(sumOf(readFile(t, artifact))))...)
	given := filepath.Join(dir, "null.json")
	writeFile(t, given, []byte("null"))
	o := run(t, "convert", "--file", filepath.Join(dir, "out", "artifact", "model.onnx"), "--manifest", given, "--out", filepath.Join(dir, "converted"))
	if o.code != ExitFailed || !strings.Contains(o.stderr, "null.json is not a JSON object: it is null") {
		t.Errorf("exit code %d\n%s", o.code, o.stderr)
	}
	mustRun(t, "convert", "--file", filepath.Join(dir, "out", "artifact", "model.onnx"), "--out", filepath.Join(dir, "converted"))
	if o := mustRun(t, "package", "--model", filepath.Join(dir, "converted"), "--out", filepath.Join(dir, "package")); !strings.Contains(o.stderr, "no self-test") {
		t.Errorf("package said\n%s", o.stderr)
	}
}

func TestAWrongCommandLineIsAUsageError(t *testing.T) {
	full := t.TempDir()
	writeFile(t, filepath.Join(full, "x"), nil)
	params := filepath.Join(full, "model-0000.params")
	writeFile(t, params, nil)
	for _, args := range [][]string{
		{"pull"}, {"pull", "--file", "a"}, {"pull", "--file", "a", "--s3", "s3://b/c", "--out", "o"}, {"pull", "--file", "a", "--version-id", "1", "--out", "o"},
		{"all"}, {"all", "--training-job", "a", "--min-dice", "0.5"}, {"all", "--training-job", "a", "--min-dice", "2", "--labels", "l"},
		{"convert"}, {"optimize", "--model", "m"}, {"optimize", "--model", "m", "--out", "o", "--min-agreement", "2"},
		{"verify"}, {"package", "--model", "m"}, {"package", "--model", "m", "--out", "o", "--gdk", "g"}, {"publish", "--package", "p"},
		{"pull", "--file", "a", "--out", "o", "--sha256", "12"}, {"all", "--file", "a", "--dry-run"}, {"all", "--file", "a", "--min-agreement", "NaN"},
		{"convert", "--file", params, "--out", "o"}, {"nonsense"}, {"convert", "--region", "eu-west-1", "--file", "a", "--out", "o"},
		{"pull", "--nonsense"}, {"verify", "extra"}, {"convert", "--file", full, "--out", full},
	} {
		if o := run(t, args...); o.code != ExitUsage || !strings.Contains(o.stderr, "model-build --help") {
			t.Errorf("%v: exit code %d\n%s", args, o.code, o.stderr)
		}
	}
	for _, args := range [][]string{{"--help"}, {"all", "--help"}, {"--version"}} {
		if o := run(t, args...); o.code != ExitOK || o.stdout == "" {
			t.Errorf("%v: exit code %d", args, o.code)
		}
	}
}
