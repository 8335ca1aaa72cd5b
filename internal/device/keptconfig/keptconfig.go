// Package keptconfig keeps the configuration that the component last worked with, for
// a start at which the one that a deployment has set cannot be used. The classic
// nucleus goes back to what it ran before where a start fails; nucleus lite does not,
// and a component that ends there does nothing until the next deployment.
//
// What is kept is the document as the nucleus gave it, in one file: written whole or
// not at all, on the disk when Keep returns, and read by its owner alone, for there
// may be a token in it. A file that is damaged is as one that is not there.
//
// The package opens nothing that a configuration names, and does not know which
// nucleus it is. Package greengrass calls it.
package keptconfig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/queue"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

// maxBytes bounds the file; a document that is longer is not kept.
const maxBytes = 1 << 20

// File is the file in which a configuration is kept. One goroutine uses it.
type File struct {
	// Path of the file, in a folder that is there. Default: nothing is kept.
	Path string
	// Logger is told what could not be kept or read. It must not be nil.
	Logger *zap.Logger
}

// Keep has a document kept in place of the one before. It is one that all of a
// process works by. That it could not be kept is of no matter now, and goes to the
// log.
func (f File) Keep(document json.RawMessage) {
	if f.Path == "" {
		return
	}
	if before, err := f.read(); err == nil && bytes.Equal(before, document) {
		return
	}
	if err := f.write(document); err != nil {
		f.Logger.Warn("the configuration could not be kept for a start at which another one cannot be used", zap.Error(err))
	}
}

// Instead returns the configuration that is kept, for a start with the configuration
// failed that ended with err. There is none to begin with where nothing is kept, where
// what is kept cannot be used or does not differ, and where err is no matter of the
// configuration; nil is none. failed is the zero value where it was not valid.
func (f File) Instead(failed config.Config, err error) (before config.Config, ok bool) {
	if f.Path == "" || !ofConfiguration(err) {
		return config.Config{}, false
	}
	document, unread := f.read()
	if errors.Is(unread, fs.ErrNotExist) {
		return config.Config{}, false // the first start
	}
	if unread == nil {
		before, _, unread = config.Parse(document)
	}
	if unread != nil {
		f.Logger.Error("the configuration that was in effect before cannot be used either", zap.Error(unread))
		return config.Config{}, false
	}
	return before, config.Diff(failed, before).Any()
}

// passing are errors that another configuration would not spare, or that the same one
// may not meet again.
var passing = []error{
	context.Canceled, context.DeadlineExceeded, queue.ErrLocked,
	ggipc.ErrTokenRefused, ggipc.ErrConnectionLost, ggipc.ErrUnreachable, ggipc.ErrClosed,
}

// ofConfiguration reports whether a start may have failed because of what was
// configured.
func ofConfiguration(err error) bool {
	var part *parts.Error
	if !errors.Is(err, config.ErrInvalid) && !errors.As(err, &part) {
		return false
	}
	var refusal *ggipc.Error
	if errors.As(err, &refusal) && refusal.Retryable() {
		return false
	}
	return !slices.ContainsFunc(passing, func(p error) bool { return errors.Is(err, p) })
}

func (f File) read() (json.RawMessage, error) {
	document, err := boundedfile.Read(f.Path, maxBytes)
	if err != nil {
		return nil, err
	}
	if !json.Valid(document) {
		return nil, fmt.Errorf("%s is damaged: it is not JSON", f.Path)
	}
	return document, nil
}

func (f File) write(document json.RawMessage) error {
	if len(document) > maxBytes {
		return fmt.Errorf("it has %d bytes, and at most %d are kept", len(document), maxBytes)
	}
	file, err := renameio.NewPendingFile(f.Path, renameio.WithTempDir(filepath.Dir(f.Path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(document); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil { // which syncs it
		return err
	}
	return syncedfolder.Sync(filepath.Dir(f.Path))
}
