package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strconv"
	"strings"
)

// glibcFloor is the C library that every file must run with: 2.28, which is
// older than that of Raspberry Pi OS bullseye (2.31).
var glibcFloor = glibcVersion{2, 28}

// glibcVersion is a version of the C library, 2.28 as {2, 28}.
type glibcVersion struct{ major, minor int }

func (v glibcVersion) newer(other glibcVersion) bool {
	return v.major > other.major || v.major == other.major && v.minor > other.minor
}

func (v glibcVersion) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// machines are the architectures by their names in Go.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM}

// checkELF says what would keep a program or library from running on devices of
// the architecture.
func checkELF(name string, content []byte, architecture string) error {
	binary, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("%s is not a program or library for Linux: %w", name, err)
	}
	machine, known := machines[architecture]
	if !known {
		return fmt.Errorf("architecture %s is not known: there are arm64, amd64 and arm", architecture)
	}
	if binary.Machine != machine {
		return fmt.Errorf("%s is built for %s, and the archive is for %s", name, binary.Machine, architecture)
	}
	needed, err := glibcNeed(binary)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if needed.newer(glibcFloor) {
		return fmt.Errorf("%s needs glibc %s, and devices with %s must do: build it with `make dist`, not with this machine's C compiler", name, needed, glibcFloor)
	}
	return nil
}

// glibcNeed returns the newest version of the C library that a file asks for,
// zero if it asks for none.
func glibcNeed(binary *elf.File) (glibcVersion, error) {
	var newest glibcVersion
	needs, err := binary.DynamicVersionNeeds()
	if err != nil {
		return newest, fmt.Errorf("read the version needs: %w", err)
	}
	for _, library := range needs {
		for _, need := range library.Needs {
			text, ok := strings.CutPrefix(need.Dep, "GLIBC_")
			if !ok {
				continue
			}
			v, err := parseGlibcVersion(text)
			if err != nil {
				return newest, fmt.Errorf("version need %s of %s: %w", need.Dep, library.Name, err)
			}
			if v.newer(newest) {
				newest = v
			}
		}
	}
	return newest, nil
}

// parseGlibcVersion reads 2.28 and 2.2.5; the third number never decides.
func parseGlibcVersion(text string) (glibcVersion, error) {
	var v glibcVersion
	parts := strings.Split(text, ".")
	if len(parts) < 2 {
		return v, fmt.Errorf("version %q has no minor number", text)
	}
	var err error
	if v.major, err = strconv.Atoi(parts[0]); err != nil {
		return v, err
	}
	v.minor, err = strconv.Atoi(parts[1])
	return v, err
}
