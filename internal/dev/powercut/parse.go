package powercut

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// parser turns the output of strace into operations. All strings in it are in
// hexadecimal, so that no comma or bracket in them misleads.
type parser struct {
	folder     string
	trace      Trace
	unfinished map[string]string // the beginning of a call, by thread
	sizes      map[string]int64  // of the files that exist, by path
	offsets    map[string]int64  // of open files, by descriptor
}

func parse(log io.ReadSeeker, folder string) (*Trace, error) {
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	p := parser{folder: folder, unfinished: map[string]string{}, sizes: map[string]int64{}, offsets: map[string]int64{}}
	lines := bufio.NewReaderSize(log, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.line(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return nil, fmt.Errorf("read the output of strace: %w: %.200s", err, line)
		}
	}
	return &p.trace, nil
}

// line reads a line. A call that is interrupted by others counts when it returns;
// only what is said counts when it begins.
func (p *parser) line(line string) error {
	thread, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return nil
	}
	if strings.HasPrefix(rest, "???(") { // a thread that strace let go before it knew its call
		return nil
	}
	said := false
	if resumed, ok := strings.CutPrefix(rest, "<... "); ok {
		_, end, _ := strings.Cut(resumed, " resumed>")
		rest = p.unfinished[thread] + end
		delete(p.unfinished, thread)
		said = strings.HasPrefix(rest, "write(1<")
	} else if begin, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
		p.unfinished[thread] = begin
		if !strings.HasPrefix(begin, "write(1<") {
			return nil
		}
		rest = begin + ") = 1" // what matters is that it may be seen from now on
	}
	name, rest, ok := strings.Cut(rest, "(")
	end := strings.LastIndex(rest, ") = ")
	if end < 0 {
		end = strings.LastIndex(rest, ") ") // strace pads short lines
	}
	if !ok || end < 0 {
		return errors.New("not a call")
	}
	result := strings.TrimLeft(rest[end+1:], " =")
	if said || strings.HasPrefix(result, "-") || strings.HasPrefix(result, "?") {
		return nil
	}
	return p.call(name, strings.Split(rest[:end], ", "), result)
}

// arguments are how many a call has, of those that need more than one.
var arguments = map[string]int{
	"openat": 3, "write": 3, "pwrite64": 4, "lseek": 3, "ftruncate": 2, "rename": 2, "renameat": 4, "renameat2": 5, "unlinkat": 3, "mkdirat": 3, "fsetxattr": 3,
	"copy_file_range": 6,
}

func (p *parser) call(name string, args []string, result string) error {
	if len(args) < arguments[name] {
		return fmt.Errorf("%s has %d arguments", name, len(args))
	}
	switch name {
	case "openat":
		return p.open(args, result)
	case "close":
		delete(p.offsets, number(args[0]))
	case "write":
		return p.write(args, result)
	case "pwrite64":
		if path, ok := p.inside(args[0]); ok {
			return p.data(path, args[1], args[3], result)
		}
	case "copy_file_range":
		return p.copy(args, result)
	case "lseek":
		if _, ok := p.inside(args[0]); ok {
			offset, err := strconv.ParseInt(result, 10, 64)
			p.offsets[number(args[0])] = offset
			return err
		}
	case "ftruncate":
		if path, ok := p.inside(args[0]); ok {
			size, err := strconv.ParseInt(args[1], 10, 64)
			p.sizes[path] = size
			p.add(operation{kind: opTruncate, path: path, offset: size})
			return err
		}
	case "fsetxattr":
		if path, ok := p.inside(args[0]); ok {
			name, err := decode(args[1])
			value, wrong := decode(args[2])
			p.add(operation{kind: opAttribute, path: path, to: string(name), data: value})
			return errors.Join(err, wrong)
		}
	case "fsync", "fdatasync":
		p.sync(args[0])
	case "rename", "renameat", "renameat2":
		if name == "rename" {
			args = []string{"", args[0], "", args[1]}
		}
		return p.rename(args)
	case "unlink", "rmdir":
		return p.remove("", args[0])
	case "unlinkat":
		return p.remove(args[0], args[1])
	case "mkdir", "mkdirat":
		if name == "mkdir" {
			args = append([]string{""}, args...)
		}
		path, ok, err := p.resolve(args[0], args[1])
		if ok {
			p.add(operation{kind: opFolder, path: path})
		}
		return err
	default:
		for _, a := range args {
			if _, ok := p.inside(a); ok {
				return fmt.Errorf("%s cannot be played again", name)
			}
			if _, ok, err := p.resolve("", a); err == nil && ok {
				return fmt.Errorf("%s cannot be played again", name)
			}
		}
	}
	return nil
}

func (p *parser) add(o operation) { p.trace.operations = append(p.trace.operations, o) }

func (p *parser) open(args []string, result string) error {
	path, ok, err := p.resolve(args[0], args[1])
	if err != nil || !ok {
		return err
	}
	size, exists := p.sizes[path]
	switch {
	case !exists && strings.Contains(args[2], "O_CREAT"):
		p.sizes[path] = 0
		p.add(operation{kind: opCreate, path: path})
	case exists && size > 0 && strings.Contains(args[2], "O_TRUNC"):
		p.sizes[path] = 0
		p.add(operation{kind: opTruncate, path: path})
	}
	p.offsets[number(result)] = 0
	if strings.Contains(args[2], "O_APPEND") {
		p.offsets[number(result)] = -1
	}
	return nil
}

func (p *parser) write(args []string, result string) error {
	if number(args[0]) == "1" {
		text, err := decode(args[1])
		p.add(operation{kind: opSay, data: text})
		return err
	}
	path, ok := p.inside(args[0])
	if !ok {
		return nil
	}
	offset := p.offsets[number(args[0])]
	if offset < 0 {
		return p.data(path, args[1], strconv.FormatInt(p.sizes[path], 10), result)
	}
	n, err := strconv.ParseInt(result, 10, 64)
	p.offsets[number(args[0])] = offset + n
	if err != nil {
		return err
	}
	return p.data(path, args[1], strconv.FormatInt(offset, 10), result)
}

// copy is of what a file below the folder holds. Where its descriptor is at is known
// of one that nothing was read from before.
func (p *parser) copy(args []string, result string) error {
	from, inFrom := p.inside(args[0])
	path, ok := p.inside(args[2])
	if !inFrom && !ok {
		return nil
	}
	start, offset := p.offsets[number(args[0])], p.offsets[number(args[2])]
	if !inFrom || !ok || args[1] != "NULL" || args[3] != "NULL" || offset < 0 {
		return errors.New("only what is in the folder is copied, and from where the file is read to where it is written")
	}
	n, err := strconv.ParseInt(result, 10, 64)
	if err != nil || n == 0 {
		return err
	}
	p.offsets[number(args[0])], p.offsets[number(args[2])] = start+n, offset+n
	p.sizes[path] = max(p.sizes[path], offset+n)
	p.add(operation{kind: opCopy, path: path, offset: offset, from: from, start: start, length: n})
	return nil
}

func (p *parser) data(path, text, at, result string) error {
	b, err := decode(text)
	if err != nil {
		return err
	}
	offset, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(result)
	if err != nil || n < 0 || n > len(b) || offset < 0 {
		return fmt.Errorf("%d bytes of %d were written: %w", n, len(b), err)
	}
	p.sizes[path] = max(p.sizes[path], offset+int64(n))
	p.add(operation{kind: opWrite, path: path, offset: offset, data: b[:n]})
	return nil
}

func (p *parser) sync(fd string) {
	path, ok := p.inside(fd)
	if !ok {
		return
	}
	if _, file := p.sizes[path]; file {
		p.add(operation{kind: opSync, path: path})
	} else {
		p.add(operation{kind: opSyncFolder, path: path})
	}
}

func (p *parser) rename(args []string) error {
	from, inFrom, err := p.resolve(args[0], args[1])
	if err != nil {
		return err
	}
	to, inTo, err := p.resolve(args[2], args[3])
	if err != nil || !inFrom && !inTo {
		return err
	}
	size, file := p.sizes[from]
	if !inFrom || !inTo || !file {
		return errors.New("only files are moved, and within the folder")
	}
	delete(p.sizes, from)
	p.sizes[to] = size
	p.add(operation{kind: opRename, path: from, to: to})
	return nil
}

func (p *parser) remove(folder, name string) error {
	path, ok, err := p.resolve(folder, name)
	if ok {
		delete(p.sizes, path)
		p.add(operation{kind: opRemove, path: path})
	}
	return err
}

// inside returns the path of a descriptor that is open below the folder.
func (p *parser) inside(fd string) (string, bool) {
	_, text, ok := strings.Cut(fd, "<")
	if !ok {
		return "", false
	}
	b, err := decode(`"` + strings.TrimSuffix(text, ">") + `"`)
	if err != nil || strings.HasSuffix(string(b), " (deleted)") {
		return "", false
	}
	return p.below(string(b))
}

// resolve returns the path of a name in a folder that is open, or in the working
// folder of the program, which strace tells as one.
func (p *parser) resolve(folder, name string) (path string, ok bool, err error) {
	b, err := decode(name)
	if err != nil {
		return "", false, err
	}
	path = string(b)
	if !filepath.IsAbs(path) {
		_, text, found := strings.Cut(folder, "<")
		if !found {
			return "", false, nil
		}
		in, err := decode(`"` + strings.TrimSuffix(text, ">") + `"`)
		if err != nil {
			return "", false, err
		}
		path = filepath.Join(string(in), path)
	}
	path, ok = p.below(filepath.Clean(path))
	return path, ok, nil
}

func (p *parser) below(path string) (string, bool) {
	if path == p.folder {
		return ".", true
	}
	rest, ok := strings.CutPrefix(path, p.folder+"/")
	return rest, ok
}

// number is that of a descriptor such as 5<path>.
func number(fd string) string {
	n, _, _ := strings.Cut(fd, "<")
	return n
}

// decode reads a string of the form "\x61\x62".
func decode(text string) ([]byte, error) {
	inner, ok := strings.CutPrefix(text, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !ok || !closed {
		return nil, errors.New("not a whole string")
	}
	return hex.DecodeString(strings.ReplaceAll(inner, `\x`, ""))
}
