package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/cli/command"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAPlanLooksAtEachOfThreeThousandImagesOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	const n = 3000
	var images []string
	for i := range n {
		images = append(images, fmt.Sprintf("in/%d/s%d.png", i%7, i))
		touch(t, images[i])
	}
	looks := 0
	p, err := newPlan("out", images, true, func(path string) (fs.FileInfo, error) {
		looks++
		return os.Stat(path)
	})
	if err != nil || len(p.tasks) != n || len(p.roots) != 7 {
		t.Fatalf("%d tasks, %d roots, error %v", len(p.tasks), len(p.roots), err)
	}
	if looks > 3*n {
		t.Errorf("%d looks at files for %d images, each with two outputs", looks, n)
	}
}

func TestAPlanRefusesWhatWouldDestroyAnImageOrAMask(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"A/a.png", "A/b.png", "x.png", "x.overlay.png", "y.jpg", "one.png"} {
		touch(t, path)
	}
	if err := os.Link("y.jpg", "one.overlay.png"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x.png", "y.png"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, out string
		overlay   bool
		images    []string
		want      string
	}{
		{"a mask in the name of an overlay", "out", true, []string{"x.overlay.png", "x.png"}, "the name of an overlay"},
		{"the same without overlays, which another run may write", "out", false, []string{"x.overlay.png"}, "the name of an overlay"},
		{"two images of one name", "out", false, []string{"A/a.png", "other/a.jpg"}, "would both be written to out/a.png"},
		{"an image in place", ".", false, []string{"x.png"}, "x.png would be overwritten by x.png"},
		{"an image under a link's name", ".", false, []string{"x.png", "y.jpg"}, "would be overwritten"},
		{"an image that is an overlay by a hard link", ".", true, []string{"y.jpg", "one.png"}, "would be overwritten"},
	} {
		_, err := newPlan(tt.out, tt.images, tt.overlay, os.Stat)
		var usage command.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

func TestAPlanTakesNoImageThatWasNotNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	touch(t, "A/a.png")
	touch(t, "A/b.png")
	p, err := newPlan("out", []string{"A/a.png", "b.png", "A/a.png/c.png"}, false, os.Stat)
	if err != nil || len(p.tasks) != 3 {
		t.Fatalf("%+v, error %v", p, err)
	}
	if first := p.tasks[0]; first.problem != nil || !filepath.IsAbs(first.image) || first.mask != "a.png" {
		t.Errorf("%+v", first)
	}
	for i, want := range []string{1: "no such file or directory", 2: "not a directory"} {
		if problem := p.tasks[i].problem; want != "" && (problem == nil || problem.Error() != want) {
			t.Errorf("%s: %v, want %s", p.tasks[i].mask, problem, want)
		}
	}
}
