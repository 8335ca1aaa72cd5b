package archive

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	// maxTrailer is how many bytes may follow the end of a tar: programs fill up
	// to a multiple of their block size.
	maxTrailer = 1 << 20
	// maxDirectory is the largest directory of a zip that is read into memory.
	maxDirectory = 8 << 20
)

func (t *target) unpackTarGz(source *os.File) error {
	unzipped, err := newGzipReader(&interruptible{t.ctx, source})
	if err != nil {
		return t.unreadable(err)
	}
	entries := tar.NewReader(&interruptible{t.ctx, unzipped})
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.unreadable(err)
		}
		if skipped, err := t.skip(header.Name); err != nil {
			return err
		} else if skipped {
			continue
		}
		switch header.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			err = t.file(header.Name, entries)
		case tar.TypeDir:
			err = t.folder(header.Name)
		case tar.TypeXGlobalHeader:
			if t.entries++; t.entries > t.limits.Entries {
				err = fmt.Errorf("%w: more than %d files and folders", ErrLimit, t.limits.Entries)
			}
		default:
			err = fmt.Errorf("%w: %q is %s", ErrUnsafe, header.Name, kind(header.Typeflag))
		}
		if err != nil {
			return err
		}
	}
	// Only its end tells that a gzip stream is whole.
	n, err := io.CopyN(io.Discard, &interruptible{t.ctx, unzipped}, maxTrailer+1)
	switch {
	case n > maxTrailer:
		return fmt.Errorf("%w: more than %d bytes follow the last file", ErrLimit, maxTrailer)
	case !errors.Is(err, io.EOF):
		return t.unreadable(err)
	case t.entries == 0:
		return fmt.Errorf("%w: it is empty", ErrFormat)
	}
	return nil
}

func kind(flag byte) string {
	switch flag {
	case tar.TypeSymlink:
		return "a symbolic link"
	case tar.TypeLink:
		return "a hard link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of type %q", flag)
}

func (t *target) unpackZip(source *os.File, size int64) error {
	directory := &boundedReaderAt{r: io.NewSectionReader(source, 0, size), left: maxDirectory}
	archive, err := zip.NewReader(directory, size)
	if err != nil {
		if directory.left < 0 {
			return fmt.Errorf("%w: its directory has more than %d bytes", ErrLimit, maxDirectory)
		}
		return t.unreadable(err)
	}
	directory.open = true // what follows is streamed
	if len(archive.File) == 0 {
		return fmt.Errorf("%w: it is empty", ErrFormat)
	}
	for _, entry := range archive.File {
		if err := t.zipEntry(entry); err != nil {
			return err
		}
	}
	return nil
}

func (t *target) zipEntry(entry *zip.File) error {
	if skipped, err := t.skip(entry.Name); err != nil || skipped {
		return err
	}
	switch mode := entry.Mode(); {
	case mode&fs.ModeType == fs.ModeDir:
		return t.folder(entry.Name)
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: %q is a symbolic link", ErrUnsafe, entry.Name)
	case mode&fs.ModeType != 0:
		return fmt.Errorf("%w: %q is a device, pipe or socket", ErrUnsafe, entry.Name)
	case entry.Flags&1 != 0:
		return fmt.Errorf("%w: %q is encrypted", ErrFormat, entry.Name)
	}
	content, err := entry.Open()
	if err != nil {
		return t.unreadable(fmt.Errorf("%s: %w", entry.Name, err))
	}
	err = t.file(entry.Name, content)
	content.Close()
	return err
}

// boundedReaderAt fails once more than left bytes were read, until it is open.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
	open bool
}

// ReadAt implements io.ReaderAt.
func (b *boundedReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if b.open {
		return b.r.ReadAt(p, offset)
	}
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, ErrLimit
	}
	return b.r.ReadAt(p, offset)
}
