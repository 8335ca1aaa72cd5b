package syncedfolder

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFolderIsMadeWithThoseAboveIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := Make(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		path = filepath.Dir(path)
	}
}

func TestWhatIsNoFolderIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Make(filepath.Join(file, "below"), 0o700); err == nil {
		t.Error("a folder below a file is made")
	}
	if err := Sync(filepath.Join(file, "below")); err == nil {
		t.Error("a folder that is not there is synced")
	}
}
