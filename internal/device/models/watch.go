package models

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
)

// Watch looks every interval whether the folder that the configuration names holds
// another model, or its link leads to one, until Stop. It is to be called once.
//
// It tells first where New could not use the configured one.
//
// A model that is being copied is opened once its files stay the same from one look
// to the next. One that is refused, for half of it was there or for another reason,
// is tried again when any of its files has changed.
func (m *Models) Watch(interval time.Duration) {
	m.wg.Go(func() {
		if m.unusable != nil {
			m.refuse(request.Model{}, m.unusable)
		}
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		var before fingerprint
		for {
			select {
			case <-ticker.C:
			case <-m.ctx.Done():
				return
			}
			m.mu.Lock()
			path := m.cfg.Model.Path
			m.mu.Unlock()
			now := look(path)
			if now == before {
				m.consider(now)
			}
			before = now
		}
	})
}

// consider opens the model that was found, where it is another one than before.
func (m *Models) consider(found fingerprint) {
	m.mu.Lock()
	decided := found == m.seen
	m.seen = found
	cfg, changes := m.cfg, m.changes
	m.mu.Unlock()
	if decided {
		return
	}
	manifest, err := model.ReadManifest(found.folder)
	if err == nil && m.known(manifest) {
		return
	}
	o, err := m.open(m.ctx, cfg)
	switch {
	case m.ctx.Err() != nil:
		if err == nil {
			o.release()
		}
	case errors.Is(err, ErrNoRoom): // a scan takes its time
		m.forget(found)
	case err != nil:
		var which request.Model
		if manifest != nil {
			which = request.Model{Name: manifest.Name, Version: manifest.Version}
		}
		m.refuse(which, err)
	default:
		m.introduce(o, cfg.Model.Canary, changes)
	}
}

// known reports whether a model is in use or on trial. A trial of any other is over:
// that model is no longer wanted.
func (m *Models) known(manifest *model.Manifest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trial != nil && reflect.DeepEqual(manifest, m.trial.candidate.Manifest()) {
		return true
	}
	m.withdraw()
	return m.current != nil && reflect.DeepEqual(manifest, m.current.Manifest())
}

// forget has a model looked at again.
func (m *Models) forget(found fingerprint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == found {
		m.seen = fingerprint{}
	}
}

// fingerprint tells one state of a model's folder from another. It is comparable.
type fingerprint struct {
	folder string // where the link leads
	files  string // names, sizes, times; or why there are none
}

// maxFiles is how many files of a folder are looked at: a model has few.
const maxFiles = 64

// look takes the fingerprint of the folder, or link, at path. It reads no file.
func look(path string) fingerprint {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fingerprint{folder: path, files: err.Error()}
	}
	f := fingerprint{folder: real}
	folder, err := os.Open(real)
	if err != nil {
		f.files = err.Error()
		return f
	}
	defer folder.Close()
	entries, err := folder.ReadDir(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		f.files = err.Error()
		return f
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	var files strings.Builder
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(real, entry.Name()))
		if err != nil {
			fmt.Fprintf(&files, "%q %v\n", entry.Name(), err)
			continue
		}
		fmt.Fprintf(&files, "%q %d %d %v\n", entry.Name(), info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	f.files = files.String()
	return f
}
