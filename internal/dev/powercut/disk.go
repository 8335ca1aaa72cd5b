package powercut

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const sector = 512

// disk is a disk and what the system has not yet written to it.
type disk struct {
	names   map[string]*file // as a program sees them
	durable map[string]*file // as they are on the disk
	pending []naming
}

// file is a file; nil stands for a folder.
type file struct {
	durable    []byte
	attributes map[string][]byte
	pending    []operation // writes, truncations and attributes
}

// naming is a change of names that is not on the disk yet.
type naming struct {
	operation
	file *file
}

func newDisk() *disk { return &disk{names: map[string]*file{}, durable: map[string]*file{}} }

// apply makes a change.
func (d *disk) apply(o operation) error {
	f, exists := d.names[o.path]
	switch o.kind {
	case opCreate:
		f = &file{attributes: map[string][]byte{}}
		d.names[o.path] = f
	case opFolder:
		d.names[o.path] = nil
	case opCopy:
		from := d.names[o.from]
		if from == nil {
			return fmt.Errorf("%s does not exist", o.from)
		}
		content := bytes.Clone(from.durable)
		for _, p := range from.pending {
			if p.kind != opAttribute {
				content = change(content, nil, p)
			}
		}
		if o.start+o.length > int64(len(content)) {
			return fmt.Errorf("%s has no %d bytes at %d", o.from, o.length, o.start)
		}
		return d.apply(operation{kind: opWrite, path: o.path, offset: o.offset, data: content[o.start : o.start+o.length]})
	case opWrite, opTruncate, opAttribute, opSync:
		if f == nil {
			return fmt.Errorf("%s does not exist", o.path)
		}
		if o.kind != opSync {
			f.pending = append(f.pending, o)
			return nil
		}
		for _, p := range f.pending {
			f.durable = change(f.durable, f.attributes, p)
		}
		f.pending = nil
		return nil
	case opRename:
		if !exists {
			return fmt.Errorf("%s does not exist", o.path)
		}
		delete(d.names, o.path)
		d.names[o.to] = f
		if filepath.Dir(o.path) != filepath.Dir(o.to) { // each name is its folder's
			d.pending = append(d.pending, naming{operation{kind: opCreate, path: o.to}, f}, naming{operation{kind: opRemove, path: o.path}, f})
			return nil
		}
	case opRemove:
		delete(d.names, o.path)
	case opSyncFolder:
		d.pending = slices.DeleteFunc(d.pending, func(n naming) bool {
			mine := filepath.Dir(n.path) == o.path
			if mine {
				n.apply(d.durable)
			}
			return mine
		})
		return nil
	case opSay:
		return nil
	}
	d.pending = append(d.pending, naming{o, f})
	return nil
}

func (n naming) apply(names map[string]*file) {
	switch n.kind {
	case opRename:
		delete(names, n.path)
		names[n.to] = n.file
	case opRemove:
		delete(names, n.path)
	default:
		names[n.path] = n.file
	}
}

// change makes a write or a truncation, or sets an attribute.
func change(content []byte, attributes map[string][]byte, o operation) []byte {
	if o.kind == opAttribute {
		attributes[o.to] = o.data
		return content
	}
	end := o.offset + int64(len(o.data))
	if o.kind == opTruncate && end < int64(len(content)) {
		return content[:end:end]
	}
	if grow := end - int64(len(content)); grow > 0 {
		content = append(content, make([]byte, grow)...)
	}
	copy(content[o.offset:], o.data)
	return content
}

// choice says how much of what is pending is on the disk.
type choice int

const (
	nothing choice = iota
	everything
	anything // a part, by chance
)

// write builds the disk in a folder.
func (d *disk) write(folder string, c choice, random *rand.Rand) error {
	names := maps.Clone(d.durable)
	for _, n := range d.pending {
		if c == everything || c == anything && random.IntN(2) == 0 {
			n.apply(names)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(names)) { // folders first
		if !reachable(names, path) {
			continue
		}
		target := filepath.Join(folder, path)
		f := names[path]
		if f == nil {
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			continue
		}
		content, attributes := f.content(c, random)
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
		for name, value := range attributes {
			if err := unix.Setxattr(target, name, value, 0); err != nil {
				return fmt.Errorf("set an attribute of %s: %w", path, err)
			}
		}
	}
	return nil
}

// reachable tells whether the folders above a path exist.
func reachable(names map[string]*file, path string) bool {
	for parent := filepath.Dir(path); parent != "."; parent = filepath.Dir(parent) {
		if f, ok := names[parent]; !ok || f != nil {
			return false
		}
	}
	return !strings.HasPrefix(path, "..")
}

func (f *file) content(c choice, random *rand.Rand) (content []byte, attributes map[string][]byte) {
	if c == nothing || len(f.pending) == 0 {
		return f.durable, f.attributes
	}
	content, attributes = bytes.Clone(f.durable), maps.Clone(f.attributes)
	likely := 1 + random.IntN(8) // of 9: disks that have nearly all, and nearly none
	for _, o := range f.pending {
		switch {
		case c == everything || random.IntN(9) < likely && random.IntN(3) > 0:
			content = change(content, attributes, o)
		case o.kind == opWrite && random.IntN(9) < likely: // some sectors of it
			for at := 0; at < len(o.data); {
				n := min(sector-int((o.offset+int64(at))%sector), len(o.data)-at)
				if random.IntN(2) == 0 {
					content = change(content, attributes, operation{kind: opWrite, offset: o.offset + int64(at), data: o.data[at : at+n]})
				}
				at += n
			}
		}
	}
	return content, attributes
}

// StateOptions are the settings of States.
type StateOptions struct {
	// States is the number of disks, spread evenly over the operations. Default
	// three for each of them.
	States int
	// Folder is where they are built, one after the other. It is emptied. Required.
	Folder string
	// Seed makes them repeatable. Default 0.
	Seed uint64
}

// States builds disks as a power cut could have left them, and calls visit with
// each, and with the lines that the program had said by then. It stops at the
// first error.
func (t *Trace) States(opts StateOptions, visit func(said []string) error) error {
	if opts.States <= 0 {
		opts.States = 3 * len(t.operations)
	}
	random := rand.New(rand.NewPCG(opts.Seed, 2))
	d := newDisk()
	var said []string
	done := 0
	for step, o := range t.operations {
		if err := d.apply(o); err != nil {
			return fmt.Errorf("operation %d: %w", step, err)
		}
		if o.kind == opSay {
			said = append(said, strings.Split(strings.TrimSuffix(string(o.data), "\n"), "\n")...)
		}
		for due := (step + 1) * opts.States / len(t.operations); done < due; done++ {
			if err := os.RemoveAll(opts.Folder); err != nil {
				return err
			}
			if err := os.MkdirAll(opts.Folder, 0o700); err != nil {
				return err
			}
			if err := d.write(opts.Folder, min(choice(done%5), anything), random); err != nil {
				return err
			}
			if err := visit(said); err != nil {
				return fmt.Errorf("state %d, after operation %d of %d: %w", done, step, len(t.operations), err)
			}
		}
	}
	return nil
}
