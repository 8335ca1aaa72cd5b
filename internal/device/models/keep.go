package models

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
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/selftest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

// maxKeptBytes bounds a file of a model that is copied.
const maxKeptBytes = 1 << 30

// unfinished begins the names of copies that are not whole.
const unfinished = ".new-"

// copyName is what whole copies are called: half of the manifest's SHA-256.
var copyName = regexp.MustCompile(`^[0-9a-f]{32}$`)

// first opens the model to begin with: the one that cfg names, which may have to be
// waited for, or else the one that was in use before.
func (m *Models) first(ctx context.Context, cfg config.Config) (*opened, error) {
	m.await(ctx, cfg.Model.Path)
	m.seen = look(cfg.Model.Path)
	o, err := m.open(ctx, cfg)
	if err == nil {
		return o, nil
	}
	if !slices.ContainsFunc([]error{model.ErrManifest, model.ErrChecksum, model.ErrNetwork, selftest.ErrFailed}, func(e error) bool { return errors.Is(err, e) }) {
		return nil, err // another one would not fare better
	}
	for _, folder := range m.kept() {
		before := cfg
		before.Model.Path = folder
		if o, unfit := m.open(ctx, before); unfit == nil {
			m.unusable = err
			m.opts.Logger.Warn("begins with the model that was in use before", zap.String("version", o.identity.Version))
			return o, nil
		}
	}
	return nil, err
}

// await waits for a model to be there, as long as it may.
func (m *Models) await(ctx context.Context, path string) {
	manifest := filepath.Join(path, model.ManifestName)
	for end := time.Now().Add(m.opts.Await); time.Now().Before(end); {
		if _, err := os.Stat(manifest); !errors.Is(err, fs.ErrNotExist) {
			return
		}
		select {
		case <-time.After(min(100*time.Millisecond, time.Until(end))):
		case <-ctx.Done():
			return
		}
	}
}

// kept are the folders of whole copies, the newest first.
func (m *Models) kept() (folders []string) {
	if m.opts.Keep == "" {
		return nil
	}
	entries, err := os.ReadDir(m.opts.Keep)
	if err != nil {
		return nil // there was none before
	}
	at := make(map[string]time.Time)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && entry.IsDir() && copyName.MatchString(entry.Name()) {
			folder := filepath.Join(m.opts.Keep, entry.Name())
			folders, at[folder] = append(folders, folder), info.ModTime()
		}
	}
	slices.SortFunc(folders, func(a, b string) int { return at[b].Compare(at[a]) })
	return folders
}

// keep has a copy of a model in use, in place of the one before. That it could not
// be made is of no matter now.
func (m *Models) keep(o *opened) {
	if m.opts.Keep == "" {
		return
	}
	m.keeping.Lock()
	defer m.keeping.Unlock()
	m.mu.Lock()
	over := m.current != nil && m.current != o
	m.mu.Unlock()
	if over {
		return
	}
	if err := m.copy(o); err != nil {
		m.opts.Logger.Warn("no copy of the model could be kept for the next start", zap.Error(err))
	}
}

// copy makes the copy in a folder that is named for it once it is whole and on the
// disk, and removes all other copies. What else lies there is somebody's.
func (m *Models) copy(o *opened) error {
	if err := syncedfolder.Make(m.opts.Keep, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	document, err := boundedfile.Read(filepath.Join(o.folder, model.ManifestName), maxKeptBytes)
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	sum := sha256.Sum256(document)
	name := hex.EncodeToString(sum[:16])
	folder := filepath.Join(m.opts.Keep, name)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := m.copyInto(folder, o); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(m.opts.Keep)
	if err != nil {
		return fmt.Errorf("look for older copies: %w", err)
	}
	for _, entry := range entries {
		old := copyName.MatchString(entry.Name()) || strings.HasPrefix(entry.Name(), unfinished)
		if entry.IsDir() && old && entry.Name() != name {
			if err := os.RemoveAll(filepath.Join(m.opts.Keep, entry.Name())); err != nil {
				return fmt.Errorf("remove an older copy: %w", err)
			}
		}
	}
	return syncedfolder.Sync(m.opts.Keep)
}

func (m *Models) copyInto(folder string, o *opened) (err error) {
	part, err := os.MkdirTemp(m.opts.Keep, unfinished)
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	for _, name := range []string{model.ManifestName, o.Manifest().File, model.SelfTestSliceName, model.SelfTestMaskName} {
		err := copyFile(filepath.Join(part, name), filepath.Join(o.folder, name))
		optional := name == model.SelfTestSliceName || name == model.SelfTestMaskName
		if err != nil && !(optional && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	manifest, err := model.ReadManifest(part)
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	sum, err := model.FileSHA256(filepath.Join(part, manifest.File))
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	if !reflect.DeepEqual(manifest, o.Manifest()) || sum != manifest.SHA256 {
		return errors.New("the folder holds another model by now")
	}
	if err := syncedfolder.Sync(part); err != nil {
		return fmt.Errorf("sync the copy: %w", err)
	}
	if err := os.Rename(part, folder); err != nil {
		return fmt.Errorf("name the copy: %w", err)
	}
	return syncedfolder.Sync(m.opts.Keep)
}

// copyFile copies a file of bounded length and syncs it.
func copyFile(to, from string) error {
	source, err := boundedfile.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, io.LimitReader(source, maxKeptBytes))
	return errors.Join(err, target.Sync(), target.Close())
}
