// Package store reads images by reference and writes results, behind
// limits: files below configured roots, objects of S3, and bytes that came
// inline. It is called by package engine.
//
// It does not look into an image, and it knows neither request documents nor
// Greengrass.
//
// Errors of Read and Write are of type *Error: their text holds no file name,
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
	"time"

	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

// DefaultMaxBytes is the default of Options.MaxBytes.
const DefaultMaxBytes = 16 << 20

// DefaultTimeout is the default of S3Options.Timeout.
const DefaultTimeout = 30 * time.Second

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
	S3 S3Options
}

// S3Options configures access to S3. Credentials come from the AWS SDK's
// ordinary chain: environment, shared files, container (the Greengrass token
// exchange service), instance.
type S3Options struct {
	// AllowedBuckets are the buckets that may be read and written; none by
	// default, which keeps S3 off. "*" allows every bucket for which the
	// credentials are good.
	AllowedBuckets []string
	// Region of the buckets; default that of the environment (AWS_REGION) or
	// of the shared configuration.
	Region string
	// Endpoint is the URL of an S3-compatible server; default AWS' own.
	Endpoint string
	// PathStyle puts the bucket into the path instead of the host name, as
	// most S3-compatible servers need.
	PathStyle bool
	// Timeout bounds one read or write with its retries; default 30 seconds.
	Timeout time.Duration
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
}

// Store reads and writes images. It is safe for use by several goroutines.
type Store struct {
	inputs   []folder
	output   outputFolder
	sweeper  *outputs.Sweeper // nil where nothing may be written
	maxBytes int64
	objects  *objectStore
}

// New checks that the input roots exist and makes the output root, where
// temporary files that a killed process left are removed meanwhile. It connects
// to nothing: the S3 client is built when the first s3:// reference comes. Its
// errors name the configured folders.
func New(options Options) (*Store, error) {
	s := &Store{maxBytes: options.MaxBytes, output: outputFolder{sync: syncFolder}}
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
	s.objects = newObjectStore(options.S3, s.maxBytes)
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
	s.objects.close()
	return nil
}

// Read returns the bytes that ref refers to, at least one and at most
// Options.MaxBytes. Inline bytes are returned as they are, not copied.
//
// A file must be regular when it is opened and is read no further than the
// limit, even while it grows. Symbolic links, relative and absolute, are followed
// inside a root; one that leads out of it is refused with ErrOutsideRoots.
//
// The end of ctx ends a read of a file between two of its parts. It cannot
// interrupt one that waits for a file system that does not answer (NFS, FUSE):
// a caller that must go on has to leave Read behind in a goroutine of its own.
//
// Errors are of type *Error; errors.Is tells the kind.
func (s *Store) Read(ctx context.Context, ref Reference) ([]byte, error) {
	const op = "read image"
	if err := ctx.Err(); err != nil {
		return nil, s.failed(op, ref.Location, contextFailure(err))
	}
	var data []byte
	var err error
	switch {
	case ref.Inline != nil:
		if int64(len(ref.Inline)) > s.maxBytes {
			err = tooLarge(s.maxBytes)
		}
		data = ref.Inline
	case isObject(ref.Location):
		data, err = s.objects.get(ctx, ref)
	default:
		data, err = readFile(ctx, s.inputs, ref, s.maxBytes)
	}
	if err == nil && len(data) == 0 {
		err = failure{kind: ErrEmpty}
	}
	if err != nil {
		return nil, s.failed(op, ref.Location, err)
	}
	return data, nil
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
// The image named by options.Source is not replaced: ErrIsSource. Of other files
// only those are replaced that Write made and nobody changed since, which an
// extended attribute tells, unless options.Overwrite is set: ErrExists. A file
// system without such attributes tells nothing, so nothing is replaced there. A
// symbolic link at the destination is a file of its own, and not followed.
// Objects of S3 other than the source are replaced; a bucket keeps versions.
//
// Errors are of type *Error; errors.Is tells the kind. The end of ctx ends a Write
// of a file as it does Read, before the file has its name.
func (s *Store) Write(ctx context.Context, destination string, data []byte, options WriteOptions) (Written, error) {
	const op = "write result"
	if err := ctx.Err(); err != nil {
		return Written{}, s.failed(op, destination, contextFailure(err))
	}
	sum := sha256.Sum256(data)
	location := destination
	var err error
	switch {
	case !isObject(destination):
		location, err = s.output.write(ctx, destination, data, func() fs.FileInfo { return s.identify(options.Source) }, options.Overwrite)
	case options.Source.Inline == nil && options.Source.Location == destination:
		err = failure{kind: ErrIsSource}
	default:
		err = s.objects.put(ctx, destination, data, sum)
	}
	if err != nil {
		return Written{}, s.failed(op, destination, err)
	}
	return Written{Location: location, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}, nil
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
	var f failure
	if !errors.As(err, &f) {
		f = failure{kind: ErrStorage, cause: err}
	}
	return &Error{Op: op, Kind: f.kind, Hint: f.hint, Location: location, Cause: f.cause}
}

func isObject(location string) bool { return strings.HasPrefix(location, objectScheme) }

// readBounded reads r to its end, or fails as soon as it yields more than limit
// bytes. expected is the length that is probably coming, or less than 0.
func readBounded(ctx context.Context, room func(context.Context, int64) error, r io.Reader, expected, limit int64) ([]byte, error) {
	need := min(uint64(expected), uint64(limit)) // all, where it is not known
	if room != nil {
		if err := room(ctx, int64(need)); err != nil {
			return nil, contextFailure(err)
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
			return nil, tooLarge(limit)
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
