// Package store reads images by reference and writes results, behind
// limits: files below configured roots, objects of S3, and bytes that came
// inline. It is called by package engine. What it asks of S3 is in package objects,
// the kinds of errors in package fault, and what becomes of results in package outputs.
//
// It does not look into an image, and it knows neither request documents nor
// Greengrass.
//
// Errors of Read and Write are of type *fault.Error: their text holds no file name,
// bucket or key, so that it may be shown and logged; Detail has them, for debug
// logs.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/device/store/objects"
	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

// DefaultMaxBytes is the default of Options.MaxBytes.
const DefaultMaxBytes = 16 << 20

// Options configures a Store. The zero value reads inline bytes only.
type Options struct {
	// InputRoots are the folders below which images may be read; none by
	// default. A relative path in a reference is taken from the first.
	InputRoots []string
	// OutputRoot is the folder below which results are written; it is made,
	// mode 0750, where it is missing. Without it no file can be written.
	OutputRoot string
	// Retention says for how long results stay in the output root; by default
	// for ever.
	Retention outputs.Retention
	// MaxBytes is the largest image read, in bytes; default 16 MiB.
	MaxBytes int64
	// S3 configures access to S3; off by default.
	S3 objects.Options
	// Later keeps results that S3 does not take now. Default: nobody, they fail.
	Later Later
}

// Later keeps results for S3 while it is away; see objectspool.Spool.
type Later interface {
	// Waiting reports whether results wait: then those that come must wait, too.
	Waiting() bool
	// Keep keeps a result durably, to be written at location. An error says that it
	// does not.
	Keep(location string, data []byte) error
}

// Reference says where an image is. Inline wins where both are set.
type Reference struct {
	// Location is a path (absolute below an input root, or relative to the
	// first) or "s3://bucket/key" with the key as it is, not escaped.
	Location string
	// Inline holds the image itself.
	Inline []byte
	// Room, if not nil, is asked for room before memory is taken, but for inline
	// images. It may wait; its error ends Read as the end of ctx does.
	Room func(ctx context.Context, bytes int64) error
}

// Written tells where a result is.
type Written struct {
	// Location is an absolute path or "s3://bucket/key".
	Location string
	// SHA256 of the content in lower-case hexadecimal.
	SHA256 string
	// Bytes is the length of the content.
	Bytes int64
	// Pending is set where an object is not written yet: Options.Later keeps it.
	Pending bool
}

// Store reads and writes images. It is safe for use by several goroutines.
type Store struct {
	inputs   []folder
	output   outputFolder
	sweeper  *outputs.Sweeper // nil where nothing may be written
	maxBytes int64
	objects  *objects.Store
	later    Later // nil for nobody
}

// New checks that the input roots exist and makes the output root, where
// temporary files that a killed process left are removed meanwhile. It connects
// to nothing: the S3 client is built when the first s3:// reference comes. Its
// errors name the configured folders.
func New(options Options) (*Store, error) {
	s := &Store{maxBytes: options.MaxBytes, later: options.Later, output: outputFolder{sync: syncFolder}}
	if s.maxBytes <= 0 {
		s.maxBytes = DefaultMaxBytes
	}
	for _, root := range options.InputRoots {
		f, err := openFolder(root)
		if err != nil {
			return nil, fmt.Errorf("input folder: %w; make it, or change the configured folders", err)
		}
		s.inputs = append(s.inputs, f)
	}
	if options.OutputRoot != "" {
		if err := s.output.open(options.OutputRoot); err != nil {
			return nil, fmt.Errorf("output folder: %w; let the component's user write there, or change the configured folder", err)
		}
	}
	if options.Retention.On() {
		if err := outputs.CheckMarks(string(s.output.folder)); err != nil {
			return nil, fmt.Errorf("output folder: retention: %w", err)
		}
	}
	s.objects = objects.New(options.S3)
	if options.OutputRoot != "" {
		s.sweeper = outputs.Sweep(string(s.output.folder), options.Retention)
	}
	return s, nil
}

// Close ends the work in the output folder and lets go of idle connections. The
// Store must not be in use.
func (s *Store) Close() error {
	if s.sweeper != nil {
		s.sweeper.Close()
	}
	s.objects.Close()
	return nil
}

// Read returns the bytes that ref refers to, at least one and at most
// Options.MaxBytes. Inline bytes are returned as they are, not copied.
//
// A file must be regular when it is opened and is read no further than the
// limit, even while it grows. Symbolic links, relative and absolute, are followed
// inside a root; one that leads out of it is refused with fault.ErrOutsideRoots.
//
// The end of ctx ends a read of a file between two of its parts. It cannot
// interrupt one that waits for a file system that does not answer (NFS, FUSE):
// a caller that must go on has to leave Read behind in a goroutine of its own.
//
// Errors are of type *fault.Error; errors.Is tells the kind.
func (s *Store) Read(ctx context.Context, ref Reference) ([]byte, error) {
	const op = "read image"
	if err := ctx.Err(); err != nil {
		return nil, s.failed(op, ref.Location, fault.OfContext(err))
	}
	var data []byte
	var err error
	switch {
	case ref.Inline != nil:
		if int64(len(ref.Inline)) > s.maxBytes {
			err = fault.TooLarge(s.maxBytes)
		}
		data = ref.Inline
	case isObject(ref.Location):
		data, err = s.readObject(ctx, ref)
	default:
		data, err = readFile(ctx, s.inputs, ref, s.maxBytes)
	}
	if err == nil && len(data) == 0 {
		err = fault.Fault{Kind: fault.ErrEmpty}
	}
	if err != nil {
		return nil, s.failed(op, ref.Location, err)
	}
	return data, nil
}

func (s *Store) readObject(ctx context.Context, ref Reference) ([]byte, error) {
	return s.objects.Get(ctx, ref.Location, func(ctx context.Context, body io.Reader, length int64) ([]byte, error) {
		if length > s.maxBytes {
			return nil, fault.TooLarge(s.maxBytes)
		}
		return readBounded(ctx, ref.Room, body, length, s.maxBytes)
	})
}

// Fetch copies what is at an s3:// location into a folder of its own, and returns
// the path of the copy: of one object a file, and of a prefix, which ends in a
// slash, the folder with all objects below it. The folder is empty, and whoever
// calls removes it.
//
// Errors are of type *fault.Error; errors.Is tells the kind.
func (s *Store) Fetch(ctx context.Context, location, folder string) (string, error) {
	to, err := s.objects.Fetch(ctx, location, folder)
	if err != nil {
		return "", s.failed("read image", location, err)
	}
	return to, nil
}

// WriteOptions say what a Write may replace. The zero value protects every file
// that is no earlier output.
type WriteOptions struct {
	// Source is the image that the result was made from. It is never replaced,
	// whatever names lead to it. Default: none, or inline.
	Source Reference
	// Overwrite replaces any other file that is at the destination, and does not
	// ask whether it is an earlier output.
	Overwrite bool
}

// Write stores data at destination: a path relative to the output root (or
// absolute below it), or "s3://bucket/key". A file appears whole under its
// name, mode 0640 less the umask, or not at all; folders are made as needed,
// mode 0750. When Write returns, file and name are on the disk.
//
// The image named by options.Source is not replaced: fault.ErrIsSource. Of other files
// only those are replaced that Write made and nobody changed since, which an
// extended attribute tells, unless options.Overwrite is set: fault.ErrExists. A file
// system without such attributes tells nothing, so nothing is replaced there. A
// symbolic link at the destination is a file of its own, and not followed.
// Objects of S3 other than the source are replaced; a bucket keeps versions. Where S3
// does not take one now, and behind others that wait, Options.Later keeps it.
//
// Errors are of type *fault.Error; errors.Is tells the kind. The end of ctx ends a Write
// of a file as it does Read, before the file has its name.
func (s *Store) Write(ctx context.Context, destination string, data []byte, options WriteOptions) (Written, error) {
	const op = "write result"
	if err := ctx.Err(); err != nil {
		return Written{}, s.failed(op, destination, fault.OfContext(err))
	}
	sum := sha256.Sum256(data)
	location, pending := destination, false
	var err error
	switch {
	case !isObject(destination):
		location, err = s.output.write(ctx, destination, data, func() fs.FileInfo { return s.identify(options.Source) }, options.Overwrite)
	case options.Source.Inline == nil && options.Source.Location == destination:
		err = fault.Fault{Kind: fault.ErrIsSource}
	default:
		pending, err = s.putObject(ctx, destination, data, sum)
	}
	if err != nil {
		return Written{}, s.failed(op, destination, err)
	}
	return Written{Location: location, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Pending: pending}, nil
}

// putObject writes an object, or has it kept to be written later: then pending is set.
func (s *Store) putObject(ctx context.Context, location string, data []byte, sum [sha256.Size]byte) (pending bool, err error) {
	if err := s.objects.Check(location); err != nil {
		return false, err
	}
	behind := s.later != nil && s.later.Waiting()
	if !behind {
		err = s.objects.Put(ctx, location, data, sum)
		if err == nil || s.later == nil || !fault.Away(err) || ctx.Err() != nil {
			return false, err
		}
	}
	if unkept := s.later.Keep(location, data); unkept != nil {
		if behind {
			err = fault.Fault{Kind: fault.ErrUnavailable, Hint: "earlier results wait for it", Cause: unkept}
		}
		return false, err
	}
	return true, nil
}

// identify looks at the file that ref refers to; nil where it is none.
func (s *Store) identify(ref Reference) fs.FileInfo {
	if ref.Inline != nil || isObject(ref.Location) || checkPath(ref.Location) != nil {
		return nil
	}
	info, _ := statFile(s.inputs, ref.Location) // nil for one that is gone: nothing is left to protect
	return info
}

// failed turns what the inner functions return into the exported error.
func (s *Store) failed(op, location string, err error) error {
	var f fault.Fault
	if !errors.As(err, &f) {
		f = fault.Fault{Kind: fault.ErrStorage, Cause: err}
	}
	return &fault.Error{Op: op, Kind: f.Kind, Hint: f.Hint, Location: location, Cause: f.Cause}
}

func isObject(location string) bool { return strings.HasPrefix(location, objects.Scheme) }

// readBounded reads r to its end, or fails as soon as it yields more than limit
// bytes. expected is the length that is probably coming, or less than 0.
func readBounded(ctx context.Context, room func(context.Context, int64) error, r io.Reader, expected, limit int64) ([]byte, error) {
	need := min(uint64(expected), uint64(limit)) // all, where it is not known
	if room != nil {
		if err := room(ctx, int64(need)); err != nil {
			return nil, fault.OfContext(err)
		}
	}
	if expected < 0 {
		expected = 64 << 10
	}
	// One byte more than expected lets the last Read meet the end.
	data := make([]byte, 0, min(expected, limit)+1)
	for {
		n, err := r.Read(data[len(data):min(int64(cap(data)), limit+1)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, fault.TooLarge(limit)
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
