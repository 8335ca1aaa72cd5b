// Package container puts the root folder of an image together as its Dockerfile
// says, and runs the program in it, without a container engine: in namespaces of
// its own, as the user and with the processes that it has in a container.
//
// It reads no registry, so what the base image gives is taken from this machine:
// the libraries that the program needs, and nothing that the base image lacks. It
// knows the instructions that the repository's Dockerfile has; any other is an
// error, for a test that leaves a step out proves nothing. Tests call it.
package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Image is what a Dockerfile says.
type Image struct {
	Base       string
	Copies     []Copy
	Env        []string // name=value
	Labels     map[string]string
	Workdir    string
	User       int // and group
	Port       int
	Entrypoint []string
	Command    []string
}

// Copy is a COPY: sources below the build's context, and where they go.
type Copy struct {
	Sources     []string
	Destination string
}

var (
	continued = regexp.MustCompile(`\\\n\s*`)
	variable  = regexp.MustCompile(`\$\{?(\w+)\}?`)
)

// Read reads a Dockerfile. arguments are those of the build, for ARG.
func Read(path string, arguments map[string]string) (*Image, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	image := &Image{Labels: make(map[string]string)}
	known := make(map[string]string)
	for line := range strings.SplitSeq(continued.ReplaceAllString(withoutComments(string(text)), " "), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		line = variable.ReplaceAllStringFunc(line, func(v string) string { return known[variable.FindStringSubmatch(v)[1]] })
		name, rest, _ := strings.Cut(line, " ")
		if name == "ARG" {
			value, given := arguments[rest]
			if !given {
				return nil, fmt.Errorf("%s: the build has no argument %s", path, rest)
			}
			known[rest] = value
			continue
		}
		if err := image.take(name, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, line, err)
		}
	}
	return image, nil
}

// withoutComments leaves out comment lines, which may stand between the parts of
// an instruction.
func withoutComments(text string) string {
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// take carries out one instruction.
func (i *Image) take(name, rest string) (err error) {
	words := strings.Fields(rest)
	switch name {
	case "FROM":
		if i.Base != "" || len(words) != 1 {
			return fmt.Errorf("one stage is known")
		}
		i.Base = rest
	case "COPY":
		if len(words) < 2 || strings.HasPrefix(words[0], "--") {
			return fmt.Errorf("sources and a destination are known, and no flags")
		}
		last := len(words) - 1
		i.Copies = append(i.Copies, Copy{words[:last], words[last]})
	case "ENV":
		i.Env = append(i.Env, words...)
	case "LABEL":
		for _, match := range regexp.MustCompile(`(\S+?)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
			i.Labels[match[1]] = match[2]
		}
	case "EXPOSE":
		i.Port, err = strconv.Atoi(rest)
	case "WORKDIR":
		i.Workdir = rest
	case "USER":
		user, group, _ := strings.Cut(rest, ":")
		if user != group {
			return fmt.Errorf("a user and a group of one number are known")
		}
		i.User, err = strconv.Atoi(user)
	case "ENTRYPOINT":
		err = json.Unmarshal([]byte(rest), &i.Entrypoint)
	case "CMD":
		err = json.Unmarshal([]byte(rest), &i.Command)
	default:
		return fmt.Errorf("the instruction is not known")
	}
	return err
}

// CopyTo carries the COPYs out, from the build's context to the root folder.
func (i *Image) CopyTo(root, context string) error {
	for _, c := range i.Copies {
		for _, source := range c.Sources {
			if !filepath.IsLocal(source) {
				return fmt.Errorf("COPY %s: it is outside the context", source)
			}
			if err := copyInto(filepath.Join(context, source), filepath.Join(root, c.Destination), strings.HasSuffix(c.Destination, "/")); err != nil {
				return fmt.Errorf("COPY %s %s: %w", source, c.Destination, err)
			}
		}
	}
	return nil
}

// copyInto copies a file, or what is in a folder, to a place; intoFolder says that
// the place is a folder.
func copyInto(from, to string, intoFolder bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			if entry.IsDir() {
				return os.MkdirAll(filepath.Join(to, relative), 0o755)
			}
			return copyFile(path, filepath.Join(to, relative))
		})
	}
	if intoFolder {
		to = filepath.Join(to, filepath.Base(from))
	}
	return copyFile(from, to)
}

// copyFile copies a file with its mode.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chmod(to, info.Mode().Perm()) // whatever the umask
}
