// Command distribution packs the component for one architecture: a zip with the
// program, the ONNX Runtime library where there is one, the licences of all that
// is in both, and nothing else. The same input gives the same bytes.
//
// It builds nothing: `make dist` cross-compiles, and calls it once for each
// architecture. A file that another architecture or a newer C library than that
// of Raspberry Pi OS bullseye would be needed for is refused.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the files in an archive, which has no folders.
const (
	programName  = "brainseg"
	libraryName  = "libonnxruntime.so.1"
	licencesName = "LICENCES.txt"
)

// settings are the flags.
type settings struct {
	root         string // the repository
	out          string // the archive to write
	architecture string // as GOARCH has it
	program      string
	library      string // "" for none
}

func main() {
	var s settings
	flag.StringVar(&s.root, "root", ".", "the repository")
	flag.StringVar(&s.out, "out", "", "the zip to write")
	flag.StringVar(&s.architecture, "arch", "", "architecture, as GOARCH has it: arm64, amd64 or arm")
	flag.StringVar(&s.program, "program", "", "the program, built for that architecture")
	flag.StringVar(&s.library, "library", "", "libonnxruntime for that architecture; its folder's parent holds ONNX Runtime's licences (default: pack none)")
	flag.Parse()
	if err := pack(s); err != nil {
		fmt.Fprintln(os.Stderr, "distribution:", err)
		os.Exit(1)
	}
}

func pack(s settings) error {
	if s.out == "" || s.architecture == "" || s.program == "" || flag.NArg() > 0 {
		return errors.New("-out, -arch and -program are required, and nothing else is taken; see -help")
	}
	program, err := os.ReadFile(s.program)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	files := []file{{name: programName, content: program, executable: true}}
	notices := []string{}
	if s.library != "" {
		library, err := os.ReadFile(s.library)
		if err != nil {
			return fmt.Errorf("read the library: %w", err)
		}
		files = append(files, file{name: libraryName, content: library})
		folder := filepath.Dir(filepath.Dir(s.library))
		notices = append(notices, filepath.Join(folder, "LICENSE"), filepath.Join(folder, "ThirdPartyNotices.txt"))
	}
	for _, f := range files {
		if err := checkELF(f.name, f.content, s.architecture); err != nil {
			return err
		}
	}
	licences, err := collectLicences(s.root, s.architecture, notices)
	if err != nil {
		return err
	}
	files = append(files, file{name: licencesName, content: licences})
	if err := writeArchive(s.out, files); err != nil {
		return fmt.Errorf("write %s: %w", s.out, err)
	}
	return nil
}
