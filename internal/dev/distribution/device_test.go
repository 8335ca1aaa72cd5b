package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/recipe"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const (
	componentName = "io.brainseg.BrainSegmentation"
	clientName    = "com.example.Client"
	requestTopic  = "inference/brain_segmentation/request"
	resultTopic   = "inference/brain_segmentation/result"
)

// emulator runs programs for arm64 as a processor that a Raspberry Pi has: the
// one that qemu takes by itself has features that no Pi has.
func emulator(t *testing.T, processor string) []string {
	t.Helper()
	if runtime.GOARCH == "arm64" {
		return nil
	}
	system := os.Getenv("QEMU_LD_PREFIX")
	if system == "" {
		system = "/usr/aarch64-linux-gnu"
	}
	missing := []string{}
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		if qemu, err = exec.LookPath("qemu-aarch64"); err != nil {
			missing = append(missing, "qemu-aarch64-static (Debian package qemu-user-static)")
		}
	}
	if _, err := os.Stat(filepath.Join(system, "lib", "libstdc++.so.6")); err != nil {
		missing = append(missing, "the arm64 C and C++ libraries below "+system+" (Debian package libstdc++6-arm64-cross; another place is taken from QEMU_LD_PREFIX)")
	}
	switch {
	case len(missing) == 0:
		return []string{qemu, "-cpu", processor, "-L", system}
	case os.Getenv("BRAINSEG_ARM64") == "":
		t.Skipf("the arm64 component was NOT tested, for want of %s; `make test-arm64` requires them", strings.Join(missing, " and of "))
	default:
		t.Fatalf("the arm64 component cannot be tested, for want of %s", strings.Join(missing, " and of "))
	}
	return nil
}

// core is a core device: its folders as a nucleus lays them out, a nucleus that
// deployed the recipe as it is, and another component.
type core struct {
	t       testing.TB
	root    string
	nucleus *nucleus.Nucleus
	script  string // that starts the component
	results chan request.Result
	client  *ggipc.Client
}

// newCore deploys the archive for an architecture by its manifest in the recipe.
func newCore(t testing.TB, profile nucleus.Profile, architecture string, emulator []string) *core {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "recipes", componentName+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Check(text)
	if err != nil {
		t.Fatal(err)
	}
	c := &core{t: t, root: t.TempDir(), results: make(chan request.Result, 100)}
	c.deploy(r, architecture, emulator)

	policy := func(operation, topic string) map[string]any {
		return map[string]any{"operations": []any{"aws.greengrass#" + operation}, "resources": []any{topic}}
	}
	c.nucleus, err = nucleus.New(nucleus.Options{Profile: profile, Components: []nucleus.Component{
		{Name: componentName, Configuration: r.Configuration},
		{Name: clientName, Configuration: map[string]any{"accessControl": map[string]any{"aws.greengrass.ipc.pubsub": map[string]any{
			"1": policy("PublishToTopic", requestTopic), "2": policy("SubscribeToTopic", resultTopic),
		}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nucleus.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.nucleus.Close() })
	c.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: c.nucleus.SocketPath(), AuthToken: c.nucleus.Token(clientName)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	_, err = c.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: resultTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		var result request.Result
		if err := json.Unmarshal(m.Bytes(), &result); err != nil {
			t.Errorf("a result is no JSON: %v", err)
		}
		c.results <- result
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *core) work(name string) string { return filepath.Join(c.root, "work", name) }

// deploy unpacks the archive, links the model as the model component does, and
// puts the variables into the script.
func (c *core) deploy(r *recipe.Recipe, architecture string, emulator []string) {
	c.t.Helper()
	manifests := map[string]string{"arm64": "aarch64", "amd64": "amd64"}
	unpacked := filepath.Join(c.root, "packages", "artifacts-unarchived", r.Name, r.Version)
	for _, m := range r.Manifests {
		if m.Platform.Architecture == manifests[architecture] {
			c.script = strings.ReplaceAll(m.Lifecycle["startup"].Script, "{artifacts:decompressedPath}", unpacked)
		}
	}
	program, ok := strings.CutPrefix(c.script, "exec ")
	if !ok {
		c.t.Fatalf("the recipe starts the component for %s with %q", architecture, c.script)
	}
	c.script = "exec " + strings.Join(append(emulator, program), " ")

	model, err := filepath.Abs(filepath.Join(root, "artifacts", "model"))
	if err != nil {
		c.t.Fatal(err)
	}
	current := filepath.Join(c.work(componentName+".Model"), "current")
	folder := filepath.Join(unpacked, "brainseg-linux-"+architecture)
	for _, dir := range []string{folder, c.work(componentName), filepath.Dir(current)} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := os.Symlink(model, current); err != nil {
		c.t.Fatal(err)
	}
	for _, f := range unpack(c.t, architecture) {
		mode := fs.FileMode(0o440) // as Permission in the recipe says
		if f.executable {
			mode = 0o550
		}
		if err := os.WriteFile(filepath.Join(folder, f.name), f.content, mode); err != nil {
			c.t.Fatal(err)
		}
	}
}

// start runs the script until the component says RUNNING. The function that it
// returns stops the component as a nucleus does and expects a good end.
func (c *core) start() (stop func()) {
	c.t.Helper()
	var log bytes.Buffer
	command := exec.Command("/bin/sh", "-c", c.script)
	command.Dir = c.work(componentName)
	command.Env = append(c.nucleus.Env(componentName), "PATH="+os.Getenv("PATH"))
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	c.t.Cleanup(func() { command.Process.Kill() })
	for deadline := time.Now().Add(2 * time.Minute); c.nucleus.State(componentName) != "RUNNING"; {
		select {
		case err := <-ended:
			c.t.Fatalf("the component ended with %v before it was RUNNING:\n%s", err, log.Bytes())
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			command.Process.Kill()
			<-ended
			c.t.Fatalf("the component is not RUNNING after two minutes:\n%s", log.Bytes())
		}
	}
	return func() {
		c.t.Helper()
		command.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				c.t.Errorf("the component ended with %v:\n%s", err, log.Bytes())
			}
		case <-time.After(2 * time.Minute):
			c.t.Error("the component does not end")
		}
	}
}

// segment has the sample slices segmented by a request each and returns the
// masks by name.
func (c *core) segment(samples []string) map[string]*image.Gray {
	c.t.Helper()
	masks := make(map[string]*image.Gray)
	for _, sample := range samples {
		name := strings.ReplaceAll(sample, "/", "-")
		content, err := os.ReadFile(filepath.Join(root, "artifacts", "samples", sample))
		if err == nil {
			err = os.WriteFile(filepath.Join(c.work(componentName), "images", name), content, 0o640)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		document := fmt.Sprintf(`{"id":%q,"image":{"path":%q},"output":{"to":%q}}`, name, name, name)
		if err := c.client.PublishToTopic(c.t.Context(), ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: []byte(document)}); err != nil {
			c.t.Fatal(err)
		}
		select {
		case r := <-c.results:
			if r.ID != name || r.Error != nil || r.Mask == nil {
				c.t.Fatalf("the result for %s is %+v, error %+v", name, r, r.Error)
			}
		case <-time.After(2 * time.Minute): // an emulator on a busy machine is slow
			c.t.Fatalf("no result for %s", name)
		}
		content, err = os.ReadFile(filepath.Join(c.work(componentName), "masks", name))
		if err != nil {
			c.t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(content))
		if err != nil {
			c.t.Fatal(err)
		}
		mask, ok := picture.(*image.Gray)
		if !ok {
			c.t.Fatalf("mask %s is %T", name, picture)
		}
		masks[name] = mask
	}
	return masks
}

// samples lists the sample slices by their path below the folder of samples.
func samples(t *testing.T) []string {
	t.Helper()
	folder := os.DirFS(filepath.Join(root, "artifacts", "samples"))
	list, err := fs.Glob(folder, "*/*.png")
	if err != nil || len(list) < 10 {
		t.Fatalf("%d samples found, error %v", len(list), err)
	}
	return list
}

// run deploys, starts, segments and stops.
func run(t *testing.T, profile nucleus.Profile, architecture string, emulator, samples []string) map[string]*image.Gray {
	t.Helper()
	c := newCore(t, profile, architecture, emulator)
	stop := c.start()
	masks := c.segment(samples)
	stop()
	return masks
}

func TestTheArchiveAndTheRecipeRunOnBothNucleiAsTheyAre(t *testing.T) {
	if runtime.GOOS != "linux" || machines[runtime.GOARCH] == 0 || runtime.GOARCH == "arm" {
		t.Skipf("there is no complete archive for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	for _, profile := range []nucleus.Profile{nucleus.Classic, nucleus.Lite} {
		t.Run(profile.String(), func(t *testing.T) {
			for name, mask := range run(t, profile, runtime.GOARCH, nil, samples(t)) {
				if counts := segmentation.Counts(mask.Pix); counts[0] == len(mask.Pix) {
					t.Errorf("the mask of %s is empty", name)
				}
			}
		})
	}
}

// leastAgreement is the share of equal pixels of arm64's masks and amd64's.
const leastAgreement = 0.9999

func TestArm64GivesTheMasksOfAmd64(t *testing.T) {
	emulator(t, "cortex-a72")
	if runtime.GOARCH != "amd64" {
		t.Skip("there is no amd64 here to compare with")
	}
	// A slice takes an emulator seconds.
	all := samples(t)
	one := []string{all[len(all)/2]}
	if os.Getenv("BRAINSEG_ARM64") == "" {
		all = []string{all[0], one[0], all[len(all)-1]} // make test-arm64 takes all
	}
	want := run(t, nucleus.Classic, "amd64", nil, all)
	for _, tt := range []struct {
		processor string
		samples   []string
	}{{"cortex-a53", one}, {"cortex-a72", all}, {"cortex-a76", one}} {
		t.Run(tt.processor, func(t *testing.T) {
			t.Parallel() // an emulator keeps one core busy
			start := time.Now()
			equal, pixels := 0, 0
			for name, mask := range run(t, nucleus.Lite, "arm64", emulator(t, tt.processor), tt.samples) {
				if mask.Rect != want[name].Rect {
					t.Fatalf("mask %s is %v and %v", name, mask.Rect, want[name].Rect)
				}
				for i, class := range mask.Pix {
					if class == want[name].Pix[i] {
						equal++
					}
				}
				pixels += len(mask.Pix)
			}
			agreement := float64(equal) / float64(pixels)
			if agreement < leastAgreement {
				t.Errorf("%.4f %% of %d pixels agree, at least %.2f %% must", 100*agreement, pixels, 100*leastAgreement)
			}
			t.Logf("%s: %.4f %% of %d pixels in %d slices agree (%d do not), %.1f s", tt.processor, 100*agreement, pixels, len(tt.samples), pixels-equal, time.Since(start).Seconds())
		})
	}
}

// The 32-bit archive brings no runtime library: the component must say what is
// missing rather than crash.
func TestArm64WithoutItsLibraryNamesWhatIsMissing(t *testing.T) {
	c := newCore(t, nucleus.Classic, "arm64", emulator(t, "cortex-a72"))
	library, err := filepath.Glob(filepath.Join(c.root, "packages", "*", "*", "*", "*", libraryName))
	if err != nil || len(library) != 1 {
		t.Fatalf("libraries %q, error %v", library, err)
	}
	if err := os.Remove(library[0]); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/bin/sh", "-c", c.script)
	command.Dir = c.work(componentName)
	command.Env = append(c.nucleus.Env(componentName), "PATH="+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	if err == nil || !bytes.Contains(output, []byte(libraryName)) || !bytes.Contains(output, []byte("model.library")) {
		t.Errorf("the component ended with %v and said:\n%s", err, output)
	}
	if state := c.nucleus.State(componentName); state != "" {
		t.Errorf("the component is %q to the nucleus", state)
	}
}
