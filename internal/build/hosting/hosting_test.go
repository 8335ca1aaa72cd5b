package hosting

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
)

var update = flag.Bool("update", false, "write the golden documents anew")

func good() Options {
	return Options{
		Name: "brainseg-enet-2-0-0", Image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/brainseg:1.1.0",
		Role: "arn:aws:iam::123456789012:role/brainseg", ModelData: "s3://models/jobs/a/output/model.tar.gz",
	}
}

func TestTheDocumentsAreThoseThatTheAPITakes(t *testing.T) {
	for name, o := range map[string]func(*Options){
		"endpoint": func(*Options) {},
		"async":    func(o *Options) { o.Async, o.InstanceType = "s3://scans/async/", "ml.c7g.xlarge" },
		"slices":   func(o *Options) { o.Input, o.Output, o.Content = "s3://scans/in", "s3://scans/out", Slices },
		"scans": func(o *Options) {
			o.Input, o.Output, o.Content, o.Instances, o.Accept = "s3://scans/in", "s3://scans/out", Scans, 4, "application/json"
		},
		"requests": func(o *Options) {
			o.Input, o.Output, o.Content, o.Buckets = "s3://scans/in", "s3://scans/out", Requests, []string{"scans", "masks"}
		},
	} {
		options := good()
		o(&options)
		documents, err := Documents(options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var all bytes.Buffer
		for _, d := range documents {
			text, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			if d.Operation != "" {
				if err := awstest.CheckInput(t, "sagemaker", d.Operation, text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			all.WriteString(d.File + "\n")
			all.Write(text)
		}
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, all.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), all.String()); diff != "" {
			t.Errorf("%s; if that is meant, run go test ./internal/build/hosting -update (-golden +written):\n%s", name, diff)
		}
	}
}

func TestTheTemplateDeploysAnEndpoint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts moto")
	}
	options := good()
	options.InstanceType, options.Async, options.Buckets = "ml.c5.xlarge", "s3://scans/async", []string{"scans"} // moto knows no younger instance
	documents, err := Documents(options)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(documents, func(d Document) bool { return strings.HasSuffix(d.File, ".template.json") })
	text, err := documents[i].JSON()
	if err != nil {
		t.Fatal(err)
	}
	deploy := exec.CommandContext(t.Context(), filepath.Join("..", "..", "..", ".venv", "bin", "python"), filepath.Join("testdata", "deploy.py"))
	deploy.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	deploy.Env = append(deploy.Env, "AWS_ACCESS_KEY_ID="+awstest.AccessKey, "AWS_SECRET_ACCESS_KEY="+awstest.SecretKey, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	deploy.Stdin, deploy.Stderr = bytes.NewReader(text), os.Stderr
	output, err := deploy.Output()
	if err != nil {
		t.Fatalf("%v; `make test-servers` fetches moto", err)
	}
	var got struct {
		Endpoint, Image string
		Environment     map[string]string
		Variants        []struct{ InstanceType string }
	}
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if got.Endpoint != "InService" || got.Image != options.Image || len(got.Variants) != 1 || got.Variants[0].InstanceType != options.InstanceType ||
		got.Environment["BRAINSEG_CONFIGURATION"] != `{"s3":{"buckets":["scans"]}}` {
		t.Errorf("deployed: %s", output)
	}
}

func TestWhatTheAPIWouldRefuseIsRefusedFirst(t *testing.T) {
	for want, o := range map[string]func(*Options){
		"as it is called in ECR":       func(o *Options) { o.Image = "" },
		"must be an ARN":               func(o *Options) { o.Role = "brainseg" },
		"letters, digits and hyphens":  func(o *Options) { o.Name = "brainseg_enet" },
		"end in .tar.gz":               func(o *Options) { o.ModelData = "s3://models/model.zip" },
		"must be s3://bucket/prefix":   func(o *Options) { o.Async = "scans/async" },
		"to read from and one":         func(o *Options) { o.Input = "s3://a/b" },
		"must be slices, scans or req": func(o *Options) { o.Content = "films" },
		"at least one instance":        func(o *Options) { o.Instances = -1 },
		"too many buckets":             func(o *Options) { o.Buckets = []string{strings.Repeat("b", 1100)} },
	} {
		options := good()
		o(&options)
		if _, err := Documents(options); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestAModelsNameIsOneAtSageMaker(t *testing.T) {
	for _, m := range []model.Manifest{{Name: "brainseg-enet", Version: "2.0.0"}, {Name: "Ä b", Version: "1+x"}, {Name: strings.Repeat("n.", 60), Version: "1"}} {
		if name := NameOf(&m); !namePattern.MatchString(name) {
			t.Errorf("%s %s becomes %q", m.Name, m.Version, name)
		}
	}
}

func TestAPackageBecomesTheArchiveThatTheContainerFindsAModelIn(t *testing.T) {
	source := filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold")
	p, err := modelpackage.Build(source, filepath.Join(t.TempDir(), "package"), modelpackage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if manifest, err := repack(w, p.Artifacts[0].Path); err != nil || manifest.Name != "threshold" {
			t.Fatalf("manifest %+v, %v", manifest, err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same package gives two archives")
	}
	packed, unpacked := filepath.Join(t.TempDir(), "model.tar.gz"), filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(packed, first.Bytes(), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Unpack(t.Context(), packed, unpacked, archive.Limits{}); err != nil {
		t.Fatal(err)
	}
	dir, err := model.Find(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := model.ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := model.FileSHA256(filepath.Join(dir, manifest.File)); err != nil || sum != manifest.SHA256 {
		t.Errorf("the network has sha256 %s, the manifest says %s (%v)", sum, manifest.SHA256, err)
	}
	if _, err := repack(new(bytes.Buffer), packed); err == nil {
		t.Error("an archive that is no zip was taken")
	}
}
