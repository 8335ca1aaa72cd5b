package segmentation

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The library is loaded once for a process, so each case is a process of its
// own: this test's binary, which opens a model with the library it is told.
const childVariable = "BRAINSEG_TEST_LIBRARY_CHILD"

func TestOpenFindsTheLibraryOrSaysWhatIsWrong(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		m, err := Open(filepath.Join("testdata", "models", "threshold"), Options{Library: os.Getenv("OPTION")})
		if err != nil {
			if !errors.Is(err, ErrRuntime) {
				t.Fatalf("not ErrRuntime: %v", err)
			}
			t.Fatal(err)
		}
		m.Close()
		return
	}
	good, err := filepath.Abs(library(t))
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o640); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, option, variable string
		beside                 string // folder for a link, relative to the executable's
		says                   string // "" for success
	}{
		{"named by option", good, "", "", ""},
		{"named by the variable", "", good, "", ""},
		{"the option before the variable", good, "/nowhere/lib.so", "", ""},
		{"the variable before the executable's folder", "", "/nowhere/lib.so", ".", "there is no /nowhere/lib.so (from BRAINSEG_ONNXRUNTIME)"},
		{"beside the executable", "", "", ".", ""},
		{"in lib beside the executable", "", "", "lib", ""},
		{"nowhere", "", "", "", "run artifacts/onnxruntime/fetch.sh"},
		{"a missing option", "/nowhere/lib.so", "", "", "there is no /nowhere/lib.so"},
		{"cut in half", file("half.so", content[:len(content)/2]), "", "", "cut short"},
		{"cut in its last segment", file("short.so", cutSegment(t, good)), "", "", "cut short"},
		{"not a library", file("text.so", []byte("hello")), "", "", "or not a shared library"},
		{"empty", file("empty.so", nil), "", "", "or not a shared library"},
		{"a folder", t.TempDir(), "", "", "is not a file"},
		{"another library", file("other.so", otherLibrary(t)), "", "", "load "},
	} {
		t.Run(test.name, func(t *testing.T) {
			executable, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			copied := filepath.Join(dir, "child")
			if err := os.Link(executable, copied); err != nil {
				program, err := os.ReadFile(executable)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(copied, program, 0o750); err != nil {
					t.Fatal(err)
				}
			}
			if test.beside != "" {
				if err := os.MkdirAll(filepath.Join(dir, test.beside), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(good, filepath.Join(dir, test.beside, "libonnxruntime.so.1")); err != nil {
					t.Fatal(err)
				}
			}
			child := exec.CommandContext(t.Context(), copied, "-test.run=^TestOpenFindsTheLibraryOrSaysWhatIsWrong$")
			child.Env = append(os.Environ(), childVariable+"=1", "OPTION="+test.option, LibraryVariable+"="+test.variable)
			output, err := child.CombinedOutput()
			if (err == nil) != (test.says == "") || !strings.Contains(string(output), test.says) || strings.Contains(string(output), "not ErrRuntime") {
				t.Errorf("error %v, want one that says %q; output:\n%s", err, test.says, output)
			}
		})
	}
}

// cutSegment returns the library at path without the end of its last segment,
// but with headers that say nothing of it.
func cutSegment(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// No section table, which lies at the end of the file: e_shoff, e_shnum
	// and e_shstrndx of the ELF64 header.
	clear(content[0x28:0x30])
	clear(content[0x3c:0x40])
	library, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var end uint64
	for _, segment := range library.Progs {
		if segment.Type == elf.PT_LOAD {
			end = max(end, segment.Off+segment.Filesz)
		}
	}
	return content[:end-1]
}

// otherLibrary is a shared library that is not ONNX Runtime.
func otherLibrary(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	source, object := filepath.Join(dir, "other.c"), filepath.Join(dir, "other.so")
	if err := os.WriteFile(source, []byte("int other(void) { return 1; }\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", object, source).CombinedOutput(); err != nil {
		t.Fatalf("compile a library: %v\n%s", err, output)
	}
	content, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestASecondLibraryIsRefused(t *testing.T) {
	open(t, "threshold", Options{})
	_, err := Open(filepath.Join("testdata", "models", "threshold"), Options{Library: "/bin/sh"})
	if !errors.Is(err, ErrRuntime) || !strings.Contains(err.Error(), "already loaded") {
		t.Errorf("error %v, want ErrRuntime that says already loaded", err)
	}
}
