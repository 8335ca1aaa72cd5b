// Package files opens what a DICOM series comes in: a folder, a zip, a DICOMDIR or
// one file, and names files so that nothing of a patient shows.
//
// It bounds what a hostile archive or folder may cost before anything of it is read. It looks
// into files only to tell what they are. Package dicom calls it.
package files

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
)

// Bounds on what is read.
const (
	maxFiles = 50000
	maxDepth = 24 // of folders
	// maxInflated is the number of bytes of all a zip's entries.
	maxInflated = 2 << 30
	// What expands to more than Harmless bytes and bombRatio times its size is no
	// scan.
	Harmless  = 64 << 20
	bombRatio = 250
)

// Inflated is the number of bytes to which a file of some size may expand.
func Inflated(size int64) int64 { return min(maxInflated, max(Harmless, bombRatio*size)) }

// ClassDirectory is the SOP class of a DICOMDIR.
const ClassDirectory = "1.2.840.10008.1.3.10"

// Source is the files of a folder, a zip or one file.
type Source struct {
	Files []File
	Close func() error
}

// File is a file or an entry of a zip.
type File struct {
	Name   string // below the source's path, fit to be shown
	Reason string // why it is left out unseen; "" to look
	path   string // on disk, or
	entry  *zip.File
}

// Input is an open file.
type Input struct {
	io.Reader
	closer   io.Closer
	Size     int64 // in the file system or zip
	buffered *bufio.Reader
}

// Close closes the file.
func (in *Input) Close() error { return in.closer.Close() }

// Buffered reads the file through a buffer, the same one each time.
func (in *Input) Buffered() *bufio.Reader {
	if in.buffered == nil {
		in.buffered = bufio.NewReaderSize(in.Reader, 16<<10)
	}
	return in.buffered
}

type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(b)
}

// Open opens the file.
func (f *File) Open(ctx context.Context) (*Input, error) {
	if f.entry == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return nil, err
		}
		size := int64(0)
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
		return &Input{Reader: contextReader{ctx, file}, closer: file, Size: size}, nil
	}
	in, err := f.entry.Open()
	if err != nil {
		return nil, Explain(err)
	}
	return &Input{Reader: contextReader{ctx, in}, closer: in, Size: int64(f.entry.UncompressedSize64)}, nil
}

// Open opens what is at path.
func Open(path string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return openFolder(path)
	case !info.Mode().IsRegular():
		return nil, volume.Refuse(volume.CodeNotAScan, "this is neither a file nor a folder", "give a folder, a zip or a file")
	}
	head, err := firstBytes(path)
	if err != nil {
		return nil, err
	}
	switch {
	case isZip(head):
		return openZip(path)
	case isDirectory(path):
		// The images that a DICOMDIR lists are beside and below it.
		return openFolder(filepath.Dir(path))
	}
	return &Source{Files: []File{*OnDisk(path)}, Close: func() error { return nil }}, nil
}

func firstBytes(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	head := make([]byte, 132)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return head[:n], nil
}

func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

// Recognised tells whether head, the first 132 bytes of a file, may be those of a
// DICOM file or of a zip.
func Recognised(head []byte) bool {
	return isZip(head) || len(head) == 132 && bytes.Equal(head[128:], []byte("DICM")) || bytes.HasPrefix(head, []byte("DICM")) || dataset.Bare(head)
}

// isDirectory tells whether the file is a DICOMDIR.
func isDirectory(path string) bool {
	f := File{path: path}
	in, err := f.Open(context.Background())
	if err != nil {
		return false
	}
	defer in.Close()
	meta, _, _, err := dataset.ReadMeta(bufio.NewReader(in))
	return err == nil && meta.Text(dataset.TagMediaStorageSOPClass) == ClassDirectory
}

// openFolder lists the files below dir. Symbolic links are followed, each folder
// once.
func openFolder(dir string) (*Source, error) {
	s := &Source{Close: func() error { return nil }}
	seen := make(map[string]bool)
	var walk func(dir, name string, depth int) error
	walk = func(dir, name string, depth int) error {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return err
		}
		if seen[real] {
			return nil
		}
		seen[real] = true
		if depth > maxDepth {
			return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("folders are nested more than %d deep", maxDepth), "give the folder with the series")
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			full, below := filepath.Join(dir, entry.Name()), path.Join(name, showable(entry.Name()))
			info, err := os.Stat(full)
			switch {
			case err != nil:
				s.Files = append(s.Files, File{Name: below, Reason: "cannot be opened (a broken link or no permission)"})
			case info.IsDir():
				if err := walk(full, below, depth+1); err != nil {
					return err
				}
			case info.Mode().IsRegular():
				s.Files = append(s.Files, File{Name: below, path: full})
			}
			if len(s.Files) > maxFiles {
				return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the folder holds more than %d files", maxFiles), "give the folder with the series")
			}
		}
		return nil
	}
	if err := walk(dir, "", 0); err != nil {
		return nil, err
	}
	return s, nil
}

// openZip lists the entries of a zip after looking whether it is a decent one.
func openZip(path string) (*Source, error) {
	archive, err := zip.OpenReader(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, err
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, volume.Refuse(volume.CodeArchive, "the zip is damaged or truncated: its list of entries cannot be read", "copy or make the zip again")
	}
	s := &Source{Close: archive.Close}
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	if err := s.entries(archive.File, size); err != nil {
		archive.Close()
		return nil, err
	}
	return s, nil
}

// entries takes over the entries of a zip of some size.
func (s *Source) entries(files []*zip.File, size int64) error {
	if len(files) > maxFiles {
		return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the zip holds more than %d files", maxFiles), "make a zip of the series alone")
	}
	type extent struct{ from, to int64 }
	var extents []extent
	total := uint64(0)
	for _, f := range files {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if f.Flags&1 != 0 {
			return volume.Refuse(volume.CodeArchive, "the zip is encrypted with a password", "unpack it and give the folder").In(showable(f.Name))
		}
		if f.UncompressedSize64 > maxInflated || total+f.UncompressedSize64 > maxInflated {
			return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the zip's files have a size of more than %d bytes in all, which is too large (no DICOM image of it was read)", int64(maxInflated)), "unpack it and give the folder, if it is what you think")
		}
		total += f.UncompressedSize64
		from, err := f.DataOffset()
		if err != nil {
			return volume.Refuse(volume.CodeArchive, "the zip is damaged: an entry is not where the list says", "copy or make the zip again").In(showable(f.Name))
		}
		extents = append(extents, extent{from, from + int64(f.CompressedSize64)})
		s.Files = append(s.Files, File{Name: showable(f.Name), entry: f})
	}
	if total > Harmless && total > bombRatio*uint64(size) {
		return volume.Refuse(volume.CodeArchive, fmt.Sprintf("the zip expands to more than %d times its size, which only a hostile archive does: the ratio is too large (no DICOM image of it was read)", bombRatio), "do not open it")
	}
	slices.SortFunc(extents, func(a, b extent) int {
		if a.from != b.from {
			return int(min(max(a.from-b.from, -1), 1))
		}
		return int(min(max(a.to-b.to, -1), 1))
	})
	for i := 1; i < len(extents); i++ {
		if extents[i].from < extents[i-1].to {
			return volume.Refuse(volume.CodeArchive, "the zip's entries share their bytes, which only a hostile archive does (its size would be too large)", "do not open it")
		}
	}
	sort.SliceStable(s.Files, func(i, j int) bool { return s.Files[i].Name < s.Files[j].Name })
	return nil
}

// showable makes a file name fit to be shown: UTF-8 without control characters,
// and not too long. Quotation marks are where Hide looks for names.
func showable(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '?'
		case r == '"':
			return '\''
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > 120 {
		name = string(runes[:60]) + "..." + string(runes[len(runes)-57:])
	}
	return name
}

// Explain makes a refusal of an error of reading. Errors that are none of the file's are
// not explained.
func Explain(err error) error {
	var r *volume.Refusal
	var path *os.PathError
	var corrupt flate.CorruptInputError
	cure := "copy or export it again"
	switch {
	case err == nil, errors.As(err, &r), errors.As(err, &path), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, zip.ErrChecksum):
		return volume.Refuse(volume.CodeDamaged, "the checksum (CRC) of this zip entry is wrong: it is damaged", cure)
	case errors.Is(err, zip.ErrFormat):
		return volume.Refuse(volume.CodeArchive, "this zip entry is damaged", cure)
	case errors.Is(err, zip.ErrAlgorithm):
		return volume.Refuse(volume.CodeArchive, "this zip entry is packed by a method that is not supported", "unpack the zip and give the folder")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return volume.Refuse(volume.CodeDamaged, "the file is truncated: it is too short, or an element's length is wrong, and ends unexpectedly", cure)
	case errors.As(err, &corrupt):
		return volume.Refuse(volume.CodeDamaged, "the deflated data are damaged or truncated", cure)
	}
	return err
}

// Packed tells whether the file is an entry of a zip, which checks its checksum at
// its end.
func (f *File) Packed() bool { return f.entry != nil }

// OnDisk is a file by its path alone.
func OnDisk(path string) *File { return &File{Name: showable(filepath.Base(path)), path: path} }
