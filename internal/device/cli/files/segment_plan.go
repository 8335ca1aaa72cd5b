package files

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/request"
)

// task is one image, and the name of its mask in the output folder.
type task struct {
	image   string // absolute, without links
	mask    string
	problem error // why the image cannot be read; nil where it may be
}

// plan is what a segment command does.
type plan struct {
	tasks []task
	// roots are the images' own folders: what the user named may be read.
	roots []string
}

// newPlan names the masks of images in the folder out, and refuses what would
// overwrite an image of the same run or give two files one name. An image that
// is not there is a task too: it is told when its turn comes. stat is os.Stat; it
// is called once for each image and each output.
func newPlan(out string, images []string, overlay bool, stat func(string) (fs.FileInfo, error)) (plan, error) {
	var p plan
	masks := make(map[string]string) // image by name of its mask
	sources := make(map[inode]string)
	folders := make(map[string]bool)
	var outputs []string
	for _, image := range images {
		t := task{mask: strings.TrimSuffix(filepath.Base(image), filepath.Ext(image)) + ".png"}
		outputs = append(outputs, t.mask)
		_, overlayName := request.Request{Output: request.Output{To: t.mask}}.Destinations()
		switch other, ok := masks[t.mask]; {
		case ok:
			return plan{}, command.Misused(fmt.Errorf("%s and %s would both be written to %s", other, image, filepath.Join(out, t.mask)))
		case strings.HasSuffix(t.mask, ".overlay.png"):
			return plan{}, command.Misused(fmt.Errorf("the mask of %s would have the name of an overlay, %s; leave the image out, or give it another name", image, filepath.Join(out, t.mask)))
		case overlay:
			outputs = append(outputs, overlayName)
		}
		masks[t.mask] = image
		info, err := stat(image)
		if err == nil {
			t.image, err = filepath.EvalSymlinks(image)
		}
		if err == nil {
			t.image, err = filepath.Abs(t.image)
		}
		if path := new(fs.PathError); errors.As(err, &path) {
			t.problem = path.Err // without the path
		} else if err != nil {
			t.problem = err
		} else {
			sources[inodeOf(info)] = image
			if folder := filepath.Dir(t.image); !folders[folder] {
				folders[folder] = true
				p.roots = append(p.roots, folder)
			}
		}
		p.tasks = append(p.tasks, t)
	}
	for _, name := range outputs {
		path := filepath.Join(out, name)
		if info, err := stat(path); err == nil {
			if image, ok := sources[inodeOf(info)]; ok {
				return plan{}, command.Misused(fmt.Errorf("%s would be overwritten by %s; choose another --out", image, path))
			}
		}
	}
	return p, nil
}

// inode is what a file is, whatever its names.
type inode struct{ device, number uint64 }

func inodeOf(info fs.FileInfo) inode {
	s := info.Sys().(*syscall.Stat_t) // on Linux
	return inode{uint64(s.Dev), s.Ino}
}
