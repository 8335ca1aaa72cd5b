package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// fixture is a store over two input roots and an output root, beside a folder
// that it must never touch.
type fixture struct {
	*Store
	first, second, output, outside string
}

func newFixture(t *testing.T, change ...func(*Options)) fixture {
	t.Helper()
	top := t.TempDir()
	f := fixture{
		first: filepath.Join(top, "first"), second: filepath.Join(top, "second"),
		output: filepath.Join(top, "results", "masks"), outside: filepath.Join(top, "outside"),
	}
	for _, folder := range []string{filepath.Join(f.first, "sub"), f.second, f.outside, filepath.Join(top, "first-neighbour")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, content := range map[string]string{
		filepath.Join(f.first, "a.png"):                  "first a",
		filepath.Join(f.first, "sub", "b.png"):           "first sub b",
		filepath.Join(f.first, "name with ünïcode .png"): "odd",
		filepath.Join(f.first, "empty.png"):              "",
		filepath.Join(f.second, "c.png"):                 "second c",
		filepath.Join(f.outside, "secret.png"):           "secret",
		filepath.Join(top, "first-neighbour", "n.png"):   "neighbour",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options := Options{InputRoots: []string{f.first, f.second}, OutputRoot: f.output}
	for _, c := range change {
		c(&options)
	}
	store, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	f.Store = store
	return f
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// checkPrivate holds an error to its promise: a kind, and no name in its text.
func checkPrivate(t *testing.T, err, kind error, names ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v, want %v", err, kind)
	}
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("error of type %T", err)
	}
	for _, name := range names {
		if name != "" && strings.Contains(err.Error(), name) {
			t.Errorf("the text %q tells the name %q", err, name)
		}
	}
}

func TestReadTakesFilesBelowTheRootsOnly(t *testing.T) {
	f := newFixture(t)
	link(t, "sub/b.png", filepath.Join(f.first, "inner-link.png"))
	link(t, "sub", filepath.Join(f.first, "inner-folder"))
	link(t, "../outside/secret.png", filepath.Join(f.first, "out-link.png"))
	link(t, "../outside", filepath.Join(f.first, "out-folder"))
	link(t, filepath.Join(f.first, "a.png"), filepath.Join(f.first, "absolute-link.png"))
	link(t, f.first+"/sub", filepath.Join(f.first, "absolute-folder"))
	link(t, f.first+"/../outside/secret.png", filepath.Join(f.first, "absolute-climber.png"))
	link(t, f.first+"-neighbour/n.png", filepath.Join(f.first, "neighbour-link.png"))
	link(t, "absolute-folder/../absolute-link.png", filepath.Join(f.first, "chain.png"))
	link(t, f.first+"/absolute-loop.png", filepath.Join(f.first, "absolute-loop.png"))
	link(t, f.first+"/none.png", filepath.Join(f.first, "dangling.png"))
	link(t, "/etc/hostname", filepath.Join(f.first, "system-link.png"))
	link(t, "loop.png", filepath.Join(f.first, "loop.png"))
	if err := syscall.Mkfifo(filepath.Join(f.first, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		location, want string
		err            error
	}{
		{"a.png", "first a", nil},
		{"./sub/../a.png", "first a", nil},
		{"sub/b.png", "first sub b", nil},
		{"name with ünïcode .png", "odd", nil},
		{f.first + "/a.png", "first a", nil},
		{f.first + "//sub/./b.png", "first sub b", nil},
		{f.second + "/c.png", "second c", nil},
		{f.first + "/../second/c.png", "second c", nil},
		{"inner-link.png", "first sub b", nil},
		{"inner-folder/b.png", "first sub b", nil},
		{"absolute-link.png", "first a", nil},
		{"absolute-folder/b.png", "first sub b", nil},
		{"chain.png", "first a", nil},

		{"", "", fault.ErrReference},
		{"a\x00.png", "", fault.ErrReference},
		{"http://example.org/a.png", "", fault.ErrReference},
		{"file:///etc/passwd", "", fault.ErrReference},
		{strings.Repeat("x", 300), "", fault.ErrReference},
		{"missing.png", "", fault.ErrNotFound},
		{"a.png/below", "", fault.ErrNotFound},
		{f.second + "/missing.png", "", fault.ErrNotFound},
		{"c.png", "", fault.ErrNotFound}, // relative paths are of the first root alone
		{"../outside/secret.png", "", fault.ErrOutsideRoots},
		{"../second/c.png", "", fault.ErrOutsideRoots},
		{"..", "", fault.ErrOutsideRoots},
		{"sub/../../outside/secret.png", "", fault.ErrOutsideRoots},
		{f.outside + "/secret.png", "", fault.ErrOutsideRoots},
		{f.first + "/../outside/secret.png", "", fault.ErrOutsideRoots},
		{f.first + "-neighbour/n.png", "", fault.ErrOutsideRoots},
		{"/etc/passwd", "", fault.ErrOutsideRoots},
		{"/", "", fault.ErrOutsideRoots},
		{"out-link.png", "", fault.ErrOutsideRoots},
		{"out-folder/secret.png", "", fault.ErrOutsideRoots},
		{"absolute-climber.png", "", fault.ErrOutsideRoots},
		{"neighbour-link.png", "", fault.ErrOutsideRoots},
		{"system-link.png", "", fault.ErrOutsideRoots},
		{"loop.png", "", fault.ErrNotFound},
		{"absolute-loop.png", "", fault.ErrOutsideRoots},
		{"dangling.png", "", fault.ErrNotFound},
		{"empty.png", "", fault.ErrEmpty},
		{".", "", fault.ErrNotRegular},
		{f.first, "", fault.ErrNotRegular},
		{"sub", "", fault.ErrNotRegular},
		{"pipe", "", fault.ErrNotRegular},
	}
	for _, c := range cases {
		t.Run(c.location, func(t *testing.T) {
			got, err := f.Read(t.Context(), Reference{Location: c.location})
			if c.err != nil {
				name := filepath.Base(c.location)
				if len(name) < 4 { // too short to be told from the words of a message
					name = ""
				}
				checkPrivate(t, err, c.err, name, f.first)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
		})
	}
}

func TestDetailTellsTheNameForDebugLogs(t *testing.T) {
	f := newFixture(t)
	_, err := f.Read(t.Context(), Reference{Location: "patient-17.png"})
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("error of type %T", err)
	}
	if e.Error() != "read image: not found" {
		t.Errorf("text %q", e.Error())
	}
	if !strings.Contains(e.Detail(), "patient-17.png") || !strings.Contains(e.Detail(), "no such file") {
		t.Errorf("detail %q", e.Detail())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestReadDoesNotWaitForAPipe(t *testing.T) {
	f := newFixture(t)
	if err := syscall.Mkfifo(filepath.Join(f.first, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := f.Read(context.Background(), Reference{Location: "pipe"})
		done <- err
	}()
	select {
	case err := <-done:
		checkPrivate(t, err, fault.ErrNotRegular, "pipe")
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
	}
}

func TestAHugeFileIsRefusedUnread(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(f.first, "zeros.png")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	_, err := f.Read(t.Context(), Reference{Location: "zeros.png"})
	metrics.Read(sample)
	checkPrivate(t, err, fault.ErrTooLarge, "zeros")
	if cost := sample[0].Value.Uint64() - before; cost > 64<<10 {
		t.Errorf("took %d bytes of memory", cost)
	}
}

func TestTheLimitOnBytesIsExact(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.MaxBytes = 100 })
	for length, want := range map[int]error{99: nil, 100: nil, 101: fault.ErrTooLarge} {
		data := bytes.Repeat([]byte("x"), length)
		if err := os.WriteFile(filepath.Join(f.first, "x.png"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		for source, ref := range map[string]Reference{"file": {Location: "x.png"}, "inline": {Inline: data}} {
			got, err := f.Read(t.Context(), ref)
			if !errors.Is(err, want) {
				t.Errorf("%s of %d bytes: error %v, want %v", source, length, err, want)
			}
			if want == nil && !bytes.Equal(got, data) {
				t.Errorf("%s of %d bytes: read %d others", source, length, len(got))
			}
		}
	}
}

func TestReadBoundedStopsWhereverTheContentGrowsTo(t *testing.T) {
	content := strings.Repeat("0123456789", 50_000)
	cases := []struct {
		name            string
		expected, limit int64
		length          int
		want            error
	}{
		{"as expected", 1000, 10_000, 1000, nil},
		{"grew", 10, 10_000, 9000, nil},
		{"shrank", 9000, 10_000, 10, nil},
		{"up to the limit", 10, 10_000, 10_000, nil},
		{"grew beyond the limit", 10, 10_000, 10_001, fault.ErrTooLarge},
		{"far beyond the limit", 10_000, 10_000, 500_000, fault.ErrTooLarge},
		{"length unknown", -1, 400_000, 300_000, nil},
		{"length unknown, beyond the limit", -1, 400_000, 500_000, fault.ErrTooLarge},
		{"expected a lie", 1 << 60, 10_000, 10, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			source := strings.NewReader(content[:c.length])
			got, err := readBounded(t.Context(), nil, iotest.OneByteReader(source), c.expected, c.limit)
			if c.want != nil {
				var f fault.Fault
				if !errors.As(err, &f) || f.Kind != c.want {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if read := int64(c.length - source.Len()); read > c.limit+1 {
					t.Errorf("read %d bytes, the limit is %d", read, c.limit)
				}
				return
			}
			if err != nil || string(got) != content[:c.length] {
				t.Errorf("read %d bytes, error %v", len(got), err)
			}
		})
	}
}

func TestInlineBytesNeedNoRoots(t *testing.T) {
	store, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Read(t.Context(), Reference{Inline: []byte("png")})
	if err != nil || string(got) != "png" {
		t.Errorf("read %q, error %v", got, err)
	}
	_, err = store.Read(t.Context(), Reference{Inline: []byte{}})
	checkPrivate(t, err, fault.ErrEmpty)
	_, err = store.Read(t.Context(), Reference{Location: "a.png"})
	checkPrivate(t, err, fault.ErrOutsideRoots)
	_, err = store.Write(t.Context(), "a.png", []byte("x"), WriteOptions{})
	checkPrivate(t, err, fault.ErrOutsideRoots)
}

func TestNewSaysWhatIsWrongWithItsFolders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]Options{
		"missing input root": {InputRoots: []string{filepath.Join(t.TempDir(), "absent")}},
		"input is a file":    {InputRoots: []string{file}},
		"output is a file":   {OutputRoot: file},
	} {
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), "folder:") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestACancelledContextStopsBeforeTheFile(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Read(ctx, Reference{Location: "a.png"})
	checkPrivate(t, err, fault.ErrCancelled)
	late, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	_, err = f.Write(late, "m.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrTimeout)
}
