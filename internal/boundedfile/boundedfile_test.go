package boundedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadTakesRegularFilesWithinTheLimitOnly(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string]string{"four": "abcd", "empty": ""} {
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("four", path("link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		limit int64
		want  error
	}{
		{"four", 4, nil},
		{"four", 3, ErrUnfit},
		{"link", 4, nil},
		{"empty", 4, ErrUnfit},
		{"pipe", 4, ErrUnfit}, // without waiting for its writer
		{".", 1 << 20, ErrUnfit},
		{"missing", 4, fs.ErrNotExist},
	}
	for _, tt := range tests {
		content, err := Read(path(tt.name), tt.limit)
		if !errors.Is(err, tt.want) || (err == nil) != (string(content) == "abcd") {
			t.Errorf("%s within %d bytes: %q, %v; want error %v", tt.name, tt.limit, content, err, tt.want)
		}
	}
}
