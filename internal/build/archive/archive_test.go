package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is one of an archive; a tar.Header's fields where it is not plain.
type entry struct {
	name, content string
	kind          byte
	link          string
}

func tarGz(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o777, Size: int64(len(e.content))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipFile(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		switch e.kind {
		case tar.TypeSymlink:
			h.SetMode(fs.ModeSymlink | 0o777)
			e.content = e.link
		case tar.TypeChar:
			h.SetMode(fs.ModeDevice | fs.ModeCharDevice | 0o666)
		case tar.TypeFifo:
			h.SetMode(fs.ModeNamedPipe | 0o666)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackBytes unpacks into a folder of its own and fails if anything is written
// beside it.
func unpackBytes(t testing.TB, archive []byte, limits Limits) (dir string, files []string, err error) {
	t.Helper()
	outside := t.TempDir()
	name := filepath.Join(outside, "archive")
	if err := os.WriteFile(name, archive, 0o640); err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(outside, "a", "b")
	if err := os.MkdirAll(parent, 0o750); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(parent, "target")
	contents, err := Unpack(t.Context(), name, dir, limits)
	files = contents.Files
	want := []string{"a", "a/b", "archive"}
	if err == nil {
		want = []string{"a", "a/b", "a/b/target", "archive"}
	}
	var found []string
	walkErr := filepath.WalkDir(outside, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == outside {
			return err
		}
		relative, _ := filepath.Rel(outside, path)
		if !strings.HasPrefix(relative, "a/b/target/") {
			found = append(found, relative)
		} else if !d.IsDir() && !d.Type().IsRegular() {
			t.Errorf("%s is neither a file nor a folder", relative)
		}
		return nil
	})
	if walkErr != nil {
		t.Fatal(walkErr)
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("what lies outside the target (-want +got):\n%s", diff)
	}
	return dir, files, err
}

func TestPlainArchivesAreUnpackedWhole(t *testing.T) {
	entries := []entry{{name: "./", kind: tar.TypeDir}, {name: "./model.onnx", content: "network"}, {name: "code/", kind: tar.TypeDir},
		{name: "code/train.py", content: "print()"}, {name: "deep/er/still.txt", content: ""}}
	want := map[string]string{"model.onnx": "network", "code/train.py": "print()", "deep/er/still.txt": ""}
	for name, archive := range map[string][]byte{"tar.gz": tarGz(t, entries...), "zip": zipFile(t, entries[1:]...)} {
		t.Run(name, func(t *testing.T) {
			dir, files, err := unpackBytes(t, archive, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"code/train.py", "deep/er/still.txt", "model.onnx"}, files); diff != "" {
				t.Error(diff)
			}
			for file, content := range want {
				path := filepath.Join(dir, file)
				got, err := os.ReadFile(path)
				if err != nil || string(got) != content {
					t.Errorf("%s is %q, error %v", file, got, err)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o117 != 0 {
					t.Errorf("%s has mode %v", file, info.Mode())
				}
			}
		})
	}
}

func TestArchivesThatWouldDoHarmAreRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries []entry
		want    error
	}{
		{"a path upwards", []entry{{name: "../evil"}}, ErrUnsafe},
		{"a path upwards in the middle", []entry{{name: "a/../../evil"}}, ErrUnsafe},
		{"a path upwards that stays inside", []entry{{name: "a/../b"}}, ErrUnsafe},
		{"an absolute path", []entry{{name: "/tmp/evil"}}, ErrUnsafe},
		{"a backslash", []entry{{name: `..\evil`}}, ErrUnsafe},
		{"a control character", []entry{{name: "evil\x1b[2J"}}, ErrUnsafe},
		{"the folder itself as a file", []entry{{name: "."}}, ErrUnsafe},
		{"a symbolic link", []entry{{name: "l", kind: tar.TypeSymlink, link: "/etc/passwd"}}, ErrUnsafe},
		{"a symbolic link and a file through it", []entry{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/evil", content: "x"}}, ErrUnsafe},
		{"a device", []entry{{name: "d", kind: tar.TypeChar}}, ErrUnsafe},
		{"a pipe", []entry{{name: "p", kind: tar.TypeFifo}}, ErrUnsafe},
		{"a file twice", []entry{{name: "model.onnx", content: "a"}, {name: "model.onnx", content: "b"}}, ErrUnsafe},
		{"a file twice but for case", []entry{{name: "model.onnx", content: "a"}, {name: "Model.ONNX", content: "b"}}, ErrUnsafe},
		{"a file in a file", []entry{{name: "a", content: "a"}, {name: "a/b", content: "b"}}, ErrUnsafe},
		{"a file where a folder is", []entry{{name: "a/b", content: "b"}, {name: "a", content: "a"}}, ErrUnsafe},
		{"a long part of a name", []entry{{name: strings.Repeat("n", 256)}}, ErrUnsafe},
		{"a long name", []entry{{name: strings.Repeat("n", 1025)}}, ErrUnsafe},
		{"a deep name", []entry{{name: strings.Repeat("n/", 20) + "n"}}, ErrUnsafe},
		{"no entries", nil, ErrFormat},
	} {
		for format, archive := range map[string][]byte{"tar.gz": tarGz(t, test.entries...), "zip": zipFile(t, test.entries...)} {
			t.Run(test.name+" in "+format, func(t *testing.T) {
				_, _, err := unpackBytes(t, archive, Limits{})
				if !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
					t.Errorf("the message %q has control characters", err)
				}
			})
		}
	}
	_, _, err := unpackBytes(t, tarGz(t, entry{name: "a", content: "a"}, entry{name: "h", kind: tar.TypeLink, link: "a"}), Limits{})
	if !errors.Is(err, ErrUnsafe) {
		t.Errorf("a hard link: error %v", err)
	}
}

func TestArchivesOverTheLimitsAreRefused(t *testing.T) {
	var many []entry
	for i := range 20 {
		many = append(many, entry{name: string(rune('a' + i)), content: "0123456789"})
	}
	for format, archive := range map[string][]byte{"tar.gz": tarGz(t, many...), "zip": zipFile(t, many...)} {
		if _, _, err := unpackBytes(t, archive, Limits{Bytes: 200, Entries: 20}); err != nil {
			t.Errorf("%s of just the limits: %v", format, err)
		}
		if _, _, err := unpackBytes(t, archive, Limits{Bytes: 199}); !errors.Is(err, ErrLimit) {
			t.Errorf("%s of a byte too many: error %v", format, err)
		}
		if _, _, err := unpackBytes(t, archive, Limits{Entries: 19}); !errors.Is(err, ErrLimit) {
			t.Errorf("%s of a file too many: error %v", format, err)
		}
	}
}

// bombs unpack to 128 MiB of zeros, in ways of their own.
func bombs(t *testing.T) map[string][]byte {
	const size = 48 << 20 // more than may be allocated
	zeros := func(w io.Writer, n int64) {
		block := make([]byte, 1<<20)
		for ; n > 0; n -= int64(len(block)) {
			if _, err := w.Write(block); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := make(map[string][]byte)

	var b bytes.Buffer
	g, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w := tar.NewWriter(g)
	w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: size})
	zeros(w, size)
	w.Close()
	g.Close()
	all["one file in tar.gz"] = bytes.Clone(b.Bytes())

	b.Reset()
	g.Reset(&b)
	w = tar.NewWriter(g)
	w.WriteHeader(&tar.Header{Name: "small", Typeflag: tar.TypeReg, Mode: 0o644})
	w.Close()
	zeros(g, size)
	g.Close()
	all["after the end of tar.gz"] = bytes.Clone(b.Bytes())

	b.Reset()
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	f, _ := z.Create("zeros")
	zeros(f, size)
	z.Close()
	all["one file in zip"] = bytes.Clone(b.Bytes())

	b.Reset()
	z = zip.NewWriter(&b)
	for range 200_000 {
		z.CreateHeader(&zip.FileHeader{Name: "n", Extra: make([]byte, 64)})
	}
	z.Close()
	all["a huge directory of zip"] = bytes.Clone(b.Bytes())
	return all
}

func TestBombsAreRefusedInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("makes many zeros")
	}
	for name, bomb := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := unpackBytes(t, bomb, Limits{Bytes: 8 << 20})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrLimit) {
				t.Errorf("error %v, want ErrLimit", err)
			}
			allocated := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20)
			t.Logf("an archive of %d bytes: %.1f MB allocated in all", len(bomb), allocated)
			if allocated > 32 {
				t.Errorf("%.1f MB were allocated", allocated)
			}
		})
	}
}

func TestAnArchiveThatIsCutShortIsRefusedAtEveryLength(t *testing.T) {
	entries := []entry{{name: "model.onnx", content: strings.Repeat("network", 300)}, {name: "manifest.json", content: "{}"}}
	for format, archive := range map[string][]byte{"tar.gz": tarGz(t, entries...), "zip": zipFile(t, entries...)} {
		for n := range len(archive) {
			if _, _, err := unpackBytes(t, archive[:n], Limits{}); !errors.Is(err, ErrFormat) {
				t.Fatalf("%s of %d of %d bytes: error %v", format, n, len(archive), err)
			}
		}
	}
}

func TestADamagedArchiveIsRefused(t *testing.T) {
	entries := []entry{{name: "model.onnx", content: strings.Repeat("network", 30)}}
	for format, archive := range map[string][]byte{"tar.gz": tarGz(t, entries...), "zip": zipFile(t, entries...)} {
		harmless := 0
		for i := range archive {
			damaged := bytes.Clone(archive)
			damaged[i] ^= 0x10
			dir, _, err := unpackBytes(t, damaged, Limits{})
			if err != nil {
				continue
			}
			// A time, a mode or a comment has changed, but never content.
			harmless++
			if got, err := os.ReadFile(filepath.Join(dir, "model.onnx")); err == nil && string(got) != entries[0].content {
				t.Errorf("%s with byte %d changed gave other content", format, i)
			}
		}
		t.Logf("%s: %d of %d changes were harmless", format, harmless, len(archive))
	}
}

func TestUnpackEndsWithItsContextAndLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	parent := t.TempDir()
	name := filepath.Join(parent, "archive")
	if err := os.WriteFile(name, tarGz(t, entry{name: "a", content: "a"}), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(ctx, name, filepath.Join(parent, "target"), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	occupied := filepath.Join(parent, "occupied")
	if err := os.MkdirAll(filepath.Join(occupied, "x"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(t.Context(), name, occupied, Limits{}); err == nil {
		t.Error("a folder that is not empty was taken")
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarGz(f, entry{name: "model.onnx", content: "network"}, entry{name: "d/", kind: tar.TypeDir}))
	f.Add(tarGz(f, entry{name: "l", kind: tar.TypeSymlink, link: ".."}, entry{name: "l/x", content: "x"}))
	f.Add(zipFile(f, entry{name: "model.onnx", content: "network"}, entry{name: "a/b", content: "b"}))
	f.Add(zipFile(f, entry{name: "../x", content: "x"}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		limits := Limits{Bytes: 1 << 16, Entries: 20}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		dir, files, err := unpackBytes(t, archive, limits)
		runtime.ReadMemStats(&after)
		// A zip's directory costs an entry in memory for every 46 bytes of the file.
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20+100*uint64(len(archive)) {
			t.Errorf("%d bytes of archive took %d bytes of memory", len(archive), used)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsafe) && !errors.Is(err, ErrLimit) {
				t.Errorf("error %v is of no known kind", err)
			}
			return
		}
		total := int64(0)
		for _, file := range files {
			info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(file)))
			if err != nil || !info.Mode().IsRegular() {
				t.Fatalf("%s: %v", file, err)
			}
			total += info.Size()
		}
		if total > limits.Bytes || len(files) > limits.Entries {
			t.Errorf("%d bytes in %d files", total, len(files))
		}
	})
}
