package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const root = "../../.."

// makeDist brings the archives up to date, as a user does, and not while package
// sagemaker does.
var makeDist = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("flock", filepath.Join(root, "Makefile"), "make", "-s", "-C", root, "dist").CombinedOutput()
})

// unpacked holds the archives that tests have read; none of them writes to it.
var unpacked sync.Map // of map[string]file, by architecture

// unpack returns the files of the archive for an architecture.
func unpack(t testing.TB, architecture string) map[string]file {
	t.Helper()
	if output, err := makeDist(); err != nil {
		t.Fatalf("make dist: %v\n%s", err, output)
	}
	if files, ok := unpacked.Load(architecture); ok {
		return files.(map[string]file)
	}
	reader, err := zip.OpenReader(filepath.Join(root, "dist", "brainseg-linux-"+architecture+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	files := make(map[string]file)
	for _, f := range reader.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		files[f.Name] = file{name: f.Name, content: content, executable: f.Mode()&0o111 != 0}
	}
	unpacked.Store(architecture, files)
	return files
}

func TestAnArchiveHoldsProgramLibraryAndLicencesAndIsSmall(t *testing.T) {
	tests := []struct {
		architecture string
		files        []string
		maxBytes     int64
	}{
		{"arm64", []string{licencesName, programName, libraryName}, 16e6},
		{"amd64", []string{licencesName, programName, libraryName}, 22e6},
		{"arm", []string{licencesName, programName}, 16e6},
	}
	for _, tt := range tests {
		t.Run(tt.architecture, func(t *testing.T) {
			files := unpack(t, tt.architecture)
			var names []string
			for name := range files {
				names = append(names, name)
			}
			slices.Sort(names)
			if !slices.Equal(names, tt.files) {
				t.Errorf("the archive holds %q, want %q", names, tt.files)
			}
			if !files[programName].executable || files[libraryName].executable {
				t.Error("the program alone must be executable")
			}
			info, err := os.Stat(filepath.Join(root, "dist", "brainseg-linux-"+tt.architecture+".zip"))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > tt.maxBytes {
				t.Errorf("the archive has %d bytes, at most %d are allowed", info.Size(), tt.maxBytes)
			}
			t.Logf("%d bytes", info.Size())
		})
	}
}

func TestEveryFileRunsWithTheCLibraryOfOldDevices(t *testing.T) {
	for _, architecture := range []string{"arm64", "amd64", "arm"} {
		for name, f := range unpack(t, architecture) {
			if name == licencesName {
				continue
			}
			if err := checkELF(name, f.content, architecture); err != nil {
				t.Errorf("%s: %v", architecture, err)
			}
			binary, err := elf.NewFile(bytes.NewReader(f.content))
			if err != nil {
				t.Fatal(err)
			}
			needed, err := glibcNeed(binary)
			if err != nil || needed == (glibcVersion{}) {
				t.Errorf("%s %s needs glibc %v, error %v: it was linked to some", architecture, name, needed, err)
			}
			t.Logf("%s %s needs glibc %v", architecture, name, needed)
		}
	}
}

func TestAFileThatWouldNotRunIsRefused(t *testing.T) {
	program := unpack(t, "arm64")[programName].content
	// The same program, as if it had been linked to a C library of the future.
	future := bytes.ReplaceAll(program, []byte("GLIBC_2.17"), []byte("GLIBC_2.99"))
	if bytes.Equal(program, future) {
		t.Fatal("the program does not need glibc 2.17, as it did")
	}
	tests := []struct {
		name, architecture string
		content            []byte
		want               string
	}{
		{"a newer C library", "arm64", future, "needs glibc 2.99"},
		{"another architecture", "amd64", program, "is built for EM_AARCH64"},
		{"an unknown architecture", "mips", program, "mips is not known"},
		{"a text", "amd64", []byte("#!/bin/sh\n"), "not a program or library"},
		{"nothing", "amd64", nil, "not a program or library"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkELF("it", tt.content, tt.architecture); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestVersionsOfTheCLibraryAreComparedAsNumbers(t *testing.T) {
	tests := []struct {
		text  string
		newer bool // than the floor
	}{{"2.28", false}, {"2.4", false}, {"2.2.5", false}, {"2.29", true}, {"2.100", true}, {"3.0", true}, {"1.99", false}}
	for _, tt := range tests {
		v, err := parseGlibcVersion(tt.text)
		if err != nil || v.newer(glibcFloor) != tt.newer {
			t.Errorf("%s is read as %v, error %v; newer than %v: %t, want %t", tt.text, v, err, glibcFloor, v.newer(glibcFloor), tt.newer)
		}
	}
	for _, text := range []string{"", "2", "2.x", "PRIVATE"} {
		if v, err := parseGlibcVersion(text); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
	}
}

func TestEveryModuleInTheProgramHasItsLicenceInTheArchive(t *testing.T) {
	for _, architecture := range []string{"arm64", "amd64", "arm"} {
		files := unpack(t, architecture)
		info, err := buildinfo.Read(bytes.NewReader(files[programName].content))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Deps) < 10 {
			t.Errorf("%s: the program tells of %d modules only", architecture, len(info.Deps))
		}
		licences := string(files[licencesName].content)
		for _, m := range info.Deps {
			title := "\n" + m.Path + " " + m.Version + ": "
			if !strings.Contains(licences, title+"LICEN") && !strings.Contains(licences, title+"UNLICENSE") {
				t.Errorf("%s: the licence of %s %s is missing", architecture, m.Path, m.Version)
			}
		}
		for title, wanted := range map[string]bool{"Go runtime and standard library": true, "ONNX Runtime: ThirdPartyNotices.txt": architecture != "arm"} {
			if strings.Contains(licences, title) != wanted {
				t.Errorf("%s: licences hold %q: %t, want %t", architecture, title, !wanted, wanted)
			}
		}
	}
}

func TestTheSameFilesMakeTheSameArchive(t *testing.T) {
	a := file{name: "a", content: []byte("first"), executable: true}
	b := file{name: "b", content: bytes.Repeat([]byte("second"), 1000)}
	pack := func(files ...file) []byte {
		t.Helper()
		packed, err := archive(files)
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	first := pack(a, b)
	if !bytes.Equal(first, pack(b, a)) {
		t.Error("the order in which files are given shows")
	}
	if bytes.Equal(first, pack(a, file{name: "b", content: b.content, executable: true})) {
		t.Error("the mode of a file does not show")
	}
	for range 2 {
		path := filepath.Join(t.TempDir(), "new", "x.zip")
		if err := writeArchive(path, []file{a, b}); err != nil {
			t.Fatal(err)
		}
		if written, err := os.ReadFile(path); err != nil || !bytes.Equal(written, first) {
			t.Errorf("the file written differs, error %v", err)
		}
		left, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(left) != 1 {
			t.Errorf("the folder holds %v, error %v", left, err)
		}
	}
}

func TestPackingTwiceGivesTheSameBytes(t *testing.T) {
	files := unpack(t, "amd64")
	dir := t.TempDir()
	program, library := filepath.Join(dir, "brainseg"), filepath.Join("artifacts", "onnxruntime", "linux-amd64", libraryName)
	if err := os.WriteFile(program, files[programName].content, 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.zip")
	// The program itself: the race detector makes packing slow.
	packer := exec.Command("go", "run", "./internal/dev/distribution", "-arch", "amd64", "-program", program, "-library", library, "-out", again)
	packer.Dir = root
	if output, err := packer.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	first, err := os.ReadFile(filepath.Join(root, "dist", "brainseg-linux-amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(again); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second archive differs from the first, error %v", err)
	}
}
