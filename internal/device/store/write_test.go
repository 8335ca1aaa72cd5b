package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/device/store/fault"
)

func TestWriteReplacesAFileWholeWithItsModes(t *testing.T) {
	old := syscall.Umask(0o022)
	t.Cleanup(func() { syscall.Umask(old) })
	f := newFixture(t)
	data := []byte("mask")
	sum := sha256.Sum256(data)
	for _, destination := range []string{"m.png", "p1/day.2/m.png", f.output + "/abs/m.png", "./a/../m.png"} {
		for _, content := range [][]byte{[]byte("a longer one that was there before"), data} {
			got, err := f.Write(t.Context(), destination, content, WriteOptions{})
			if err != nil {
				t.Fatalf("%s: %v", destination, err)
			}
			if !bytes.Equal(content, data) {
				continue
			}
			path := destination
			if !filepath.IsAbs(path) {
				path = filepath.Join(f.output, destination)
			}
			want := Written{Location: path, SHA256: hex.EncodeToString(sum[:]), Bytes: 4}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", destination, diff)
			}
			stored, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(stored, data) {
				t.Errorf("%s holds %q, error %v", destination, stored, err)
			}
			checkMode(t, path, 0o640)
		}
	}
	checkMode(t, f.output, 0o750)
	checkMode(t, filepath.Join(f.output, "p1", "day.2"), 0o750)
	checkNothingTemporary(t, f.output)
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("mode %v, want %v", info.Mode().Perm(), want)
	}
}

func checkNothingTemporary(t *testing.T, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".tmp") {
			t.Errorf("left behind: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteStaysBelowTheOutputRoot(t *testing.T) {
	f := newFixture(t)
	link(t, "../../outside", filepath.Join(f.output, "out-folder"))
	link(t, f.outside, filepath.Join(f.output, "absolute-folder"))
	if err := os.MkdirAll(filepath.Join(f.output, "folder", "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.output, "file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		destination string
		want        error
	}{
		{"", fault.ErrReference},
		{".", fault.ErrReference},
		{"folder/", fault.ErrReference},
		{"m\x00.png", fault.ErrReference},
		{"ftp://host/m.png", fault.ErrReference},
		{strings.Repeat("x", 300), fault.ErrReference},
		{"..", fault.ErrOutsideRoots},
		{"../m.png", fault.ErrOutsideRoots},
		{"a/../../m.png", fault.ErrOutsideRoots},
		{f.outside + "/m.png", fault.ErrOutsideRoots},
		{f.first + "/m.png", fault.ErrOutsideRoots},
		{"out-folder/m.png", fault.ErrOutsideRoots},
		{"out-folder/new/m.png", fault.ErrOutsideRoots},
		{"absolute-folder/m.png", fault.ErrOutsideRoots},
		{"folder", fault.ErrNotRegular},
		{"file/m.png", fault.ErrNotRegular},
	}
	for _, c := range cases {
		t.Run(c.destination, func(t *testing.T) {
			_, err := f.Write(t.Context(), c.destination, []byte("mask"), WriteOptions{})
			checkPrivate(t, err, c.want, "m.png", f.output)
		})
	}
	checkNothingTemporary(t, f.output)
	left, err := os.ReadDir(f.outside)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder outside holds %v, error %v", left, err)
	}
}

func TestWriteReplacesALinkInsteadOfFollowingIt(t *testing.T) {
	f := newFixture(t)
	victim := filepath.Join(f.outside, "secret.png")
	link(t, victim, filepath.Join(f.output, "m.png"))
	_, err := f.Write(t.Context(), "m.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrExists, "m.png")
	if _, err := f.Write(t.Context(), "m.png", []byte("mask"), WriteOptions{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(victim); err != nil || string(kept) != "secret" {
		t.Errorf("the link's target holds %q, error %v", kept, err)
	}
	info, err := os.Lstat(filepath.Join(f.output, "m.png"))
	if err != nil || !info.Mode().IsRegular() {
		t.Errorf("the name is %v, error %v", info, err)
	}
}

func TestAnOutputRootThatVanishedIsMadeAgain(t *testing.T) {
	f := newFixture(t)
	if err := os.RemoveAll(f.output); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(t.Context(), "m.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	checkMode(t, f.output, 0o750)
}
