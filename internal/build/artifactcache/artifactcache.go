// Package artifactcache brings model artifacts from S3 or from a file into a
// content-addressed cache: what is in it has been checked and is never changed.
// A transfer that was cut goes on where it stopped.
//
// It does not look into an artifact. Package cli calls it.
//
// The cache is a folder:
//
//	sha256/<digest>             the artifacts
//	objects/<id>.json           which object of S3 has which digest
//	partial/<id>/data, journal  a transfer that is not finished
package artifactcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// Errors by which a caller decides. Those of access are awsaccess'.
var (
	// ErrChecksum: what arrived is not what was sent, or not what the caller
	// expects. Nothing of it is kept.
	ErrChecksum = errors.New("the artifact does not have the expected checksum")
	// ErrSize: the artifact is empty or larger than Options.MaxBytes.
	ErrSize = errors.New("the artifact has an impossible size")
	// ErrStalled: nothing arrived for Options.Stall.
	ErrStalled = errors.New("the transfer stalled")
	// ErrReference: not an s3://bucket/key.
	ErrReference = errors.New("not an s3://bucket/key")
)

// BySize is Artifact.CheckedBy of an object of which S3 keeps no checksum.
const BySize = "its size alone"

// Artifact is a file of the cache. It must not be changed.
type Artifact struct {
	// Path of the file.
	Path string
	// SHA256 of the content in lower-case hexadecimal, and its length.
	SHA256 string
	Size   int64
	// Source is the s3:// URI or the path that it came from.
	Source string
	// VersionID and ETag of the object, or empty.
	VersionID, ETag string
	// CheckedBy names the checksum of the source that was compared: "SHA256",
	// "CRC64NVME", "MD5 of the ETag"...; BySize where S3 gives none.
	CheckedBy string
	// Cached tells that nothing had to be transferred.
	Cached bool
}

// Cache is a content-addressed folder. Several processes may use one at once.
type Cache struct{ dir string }

// Open makes the folder dir where it is missing.
func Open(dir string) (*Cache, error) {
	for _, name := range []string{"sha256", "objects", "partial"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			return nil, fmt.Errorf("open the artifact cache: %w; choose another folder by --cache", err)
		}
	}
	c := &Cache{dir: dir}
	c.prune(time.Now().Add(-forgetAfter))
	return c, nil
}

// forgetAfter is how long a transfer that nobody goes on with is kept.
const forgetAfter = 30 * 24 * time.Hour

// prune removes the transfers that were last touched before then. What cannot be
// removed is in nobody's way.
func (c *Cache) prune(then time.Time) {
	entries, err := os.ReadDir(filepath.Join(c.dir, "partial"))
	if err != nil {
		return
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().Before(then) {
			os.RemoveAll(filepath.Join(c.dir, "partial", entry.Name()))
		}
	}
}

// FromFile copies a file into the cache, unless its content is there already.
func (c *Cache) FromFile(ctx context.Context, path string) (Artifact, error) {
	doing := "bring " + path + " into the cache"
	source, err := os.Open(path)
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer source.Close()
	if info, err := source.Stat(); err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	} else if !info.Mode().IsRegular() {
		return Artifact{}, fmt.Errorf("%s: it is not a file", doing)
	} else if info.Size() == 0 {
		return Artifact{}, fmt.Errorf("%s: %w: it is empty", doing, ErrSize)
	}
	sum, size, err := digest(ctx, source)
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	a := Artifact{Path: c.blob(sum), SHA256: sum, Size: size, Source: path, CheckedBy: "SHA256"}
	if ok, err := c.holds(ctx, sum); err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	} else if ok {
		a.Cached = true
		return a, nil
	}
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	pending, err := renameio.NewPendingFile(a.Path, renameio.WithTempDir(filepath.Join(c.dir, "partial")), renameio.WithPermissions(0o440))
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer pending.Cleanup()
	// The copy is hashed again: the file may be changing under our eyes.
	copied, _, err := digest(ctx, io.TeeReader(source, pending))
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	if copied != sum {
		return Artifact{}, fmt.Errorf("%s: %w: the file changes while it is read", doing, ErrChecksum)
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	return a, nil
}

func (c *Cache) blob(sum string) string { return filepath.Join(c.dir, "sha256", sum) }

// holds tells whether the cache has the content of that digest, whole. A file
// that was damaged is removed.
func (c *Cache) holds(ctx context.Context, sum string) (bool, error) {
	file, err := os.Open(c.blob(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	actual, _, err := digest(ctx, file)
	if err != nil {
		return false, err
	}
	if actual == sum {
		return true, nil
	}
	return false, os.Remove(file.Name())
}

// digest reads r to its end.
func digest(ctx context.Context, r io.Reader) (sum string, size int64, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, &interruptible{ctx, r})
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// interruptible ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(b)
}

// DefaultFolder is where artifacts are kept unless somebody says otherwise: below
// the user's cache folder.
func DefaultFolder() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "brainseg-model-build")
	}
	return filepath.Join(dir, "brainseg", "model-build")
}
