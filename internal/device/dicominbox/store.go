package dicominbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/syncedfolder"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

// errNoRoom tells that there is no room for another object.
var errNoRoom = errors.New("there is no room for received objects: raise the bound, or wait until series are worked on")

// errCut tells that the peer did not send the whole object.
var errCut = errors.New("the object was cut off")

// Store is that of dicomnet.Storer: Success comes when the object is on the disk.
func (b *Inbox) Store(ctx context.Context, r dicomnet.StoreRequest, data io.Reader) dicomnet.Status {
	status, err := b.store(ctx, r, data)
	if err != nil {
		b.opts.Logger.Error("storing a received object failed", zap.Error(err))
	}
	return status
}

func (b *Inbox) store(ctx context.Context, r dicomnet.StoreRequest, data io.Reader) (dicomnet.Status, error) {
	if !isUID(r.SOPClass) || !isUID(r.SOPInstance) {
		return dicomnet.CannotUnderstand, nil
	}
	p, err := b.receive(r, data)
	switch {
	case errors.Is(err, errCut): // the association is over, and tells why itself
		return dicomnet.OutOfResources, nil
	case err != nil:
		return dicomnet.OutOfResources, err
	}
	defer p.drop()
	seriesKey, status, err := identify(ctx, p.path, r)
	if status != dicomnet.Success || err != nil {
		return status, err
	}
	if err := b.commit(seriesKey, hashed(hashBytes, r.SOPInstance), p); err != nil {
		return dicomnet.OutOfResources, err
	}
	return dicomnet.Success, nil
}

// part is an object that has come, and is not yet in the folder of its series.
type part struct {
	b       *Inbox
	path    string
	content string // hash
	bytes   int64  // reserved
	kept    bool
}

// drop removes the file and gives its bytes back, unless it is kept.
func (p *part) drop() {
	if p.kept {
		return
	}
	if err := os.Remove(p.path); err != nil {
		p.b.opts.Logger.Error("removing a temporary file failed", zap.Error(err))
	}
	p.b.mu.Lock()
	p.b.bytes -= p.bytes
	p.b.mu.Unlock()
}

// receive writes the object to a file of its own, and syncs it.
func (b *Inbox) receive(r dicomnet.StoreRequest, data io.Reader) (_ *part, err error) {
	file, err := os.CreateTemp(b.incoming(), "*.part")
	if err != nil {
		return nil, err
	}
	p := &part{b: b, path: file.Name()}
	defer func() {
		if err != nil {
			file.Close()
			p.drop()
		}
	}()
	header := dicomnet.FileHeader(r)
	if err := p.reserve(int64(len(header))); err != nil {
		return nil, err
	}
	if _, err := file.Write(header); err != nil {
		return nil, err
	}
	sum := sha256.New()
	sum.Write([]byte(r.TransferSyntax + "\x00"))
	buf := make([]byte, 64<<10)
	size := int64(len(header))
	for ended := false; !ended; {
		n, err := data.Read(buf)
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			ended = true
		case err != nil:
			return nil, errCut
		}
		if err := p.reserve(size); err != nil {
			return nil, err
		}
		sum.Write(buf[:n])
		if _, err := file.Write(buf[:n]); err != nil {
			return nil, err
		}
	}
	if err := file.Chmod(0o640); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	p.content = hex.EncodeToString(sum.Sum(nil)[:hashBytes/2])
	return p, file.Close()
}

// reserve has the part take the bytes of a file of some size.
func (p *part) reserve(size int64) error {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	more := onDisk(size) - p.bytes
	if more <= 0 {
		return nil
	}
	if !p.b.makeRoom(more, 1) {
		return errNoRoom
	}
	p.b.bytes += more
	p.bytes += more
	return nil
}

// identify reads which series the object belongs to, and whether it is the one
// that its command says.
func identify(ctx context.Context, path string, r dicomnet.StoreRequest) (key string, status dicomnet.Status, err error) {
	in, err := files.OnDisk(path).Open(ctx)
	if err != nil {
		return "", dicomnet.OutOfResources, err
	}
	defer in.Close()
	o, _, err := images.Parse(in)
	if err != nil && (o == nil || o.Series == "") {
		return "", dicomnet.CannotUnderstand, nil
	}
	switch {
	case !isUID(o.Study) || !isUID(o.Series) || !isUID(o.SOPInstance):
		return "", dicomnet.CannotUnderstand, nil
	case o.SOPInstance != r.SOPInstance || o.SOPClass != r.SOPClass:
		return "", dicomnet.DoesNotMatch, nil
	}
	return hashed(hashBytes, o.Study, o.Series), dicomnet.Success, nil
}

func isUID(uid string) bool {
	return uid != "" && len(uid) <= 64 && strings.Trim(uid, "0123456789.") == ""
}

// commit moves the object to its series, and makes that durable.
func (b *Inbox) commit(key, instance string, p *part) error {
	b.mu.Lock()
	s := b.series[key]
	if s == nil {
		s = newSeries(key)
		b.series[key] = s
	}
	s.committing++
	b.mu.Unlock()
	s.commit.Lock()
	defer s.commit.Unlock()
	err := b.put(s, instance, p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.committed(s)
	return err
}

// committed ends what raised committing. It is called with mu held.
func (b *Inbox) committed(s *series) {
	s.committing--
	if s.committing > 0 {
		return
	}
	if len(s.objects) == 0 {
		delete(b.series, s.key)
	}
	if s.open { // and Complete may have passed it over meanwhile
		close(b.opened)
		b.opened = make(chan struct{})
	}
}

// put is commit with the series' commit held.
func (b *Inbox) put(s *series, instance string, p *part) error {
	b.mu.Lock()
	old, replaces := s.objects[instance]
	again := replaces && old.content == p.content && s.note.Failed && s.note.Phase == phaseReleased
	fresh := len(s.objects) == 0
	b.mu.Unlock()
	folder := b.objectsFolder(s.key)
	if replaces && old.loose { // what is confirmed now must not hang on it
		if err := syncedfolder.Sync(folder); err != nil {
			return err
		}
	}
	switch {
	case again:
		n := s.note
		n.Phase = phaseReopened
		if err := n.write(filepath.Join(b.folderOf(s.key), noteName)); err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		s.note = n
		b.reopen(s)
		return nil
	case replaces && old.content == p.content:
		b.mu.Lock()
		defer b.mu.Unlock()
		s.last = time.Now()
		old.loose = false
		s.objects[instance] = old
		return nil
	}
	if fresh {
		if err := b.removeFiles(s.key); err != nil { // half removed, perhaps
			return err
		}
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
		if err := errors.Join(syncedfolder.Sync(b.folderOf(s.key)), syncedfolder.Sync(filepath.Dir(b.folderOf(s.key)))); err != nil {
			return err
		}
	}
	if err := os.Rename(p.path, filepath.Join(folder, fileName(instance, p.content))); err != nil {
		return err
	}
	p.kept = true
	err := syncedfolder.Sync(folder)
	if replaces && err == nil { // not before the new one is there for good
		if err = os.Remove(filepath.Join(folder, fileName(instance, old.content))); err == nil {
			err = syncedfolder.Sync(folder) // nor the old one again, once the new one is confirmed
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// In the folder it is, whether or not that is durable.
	s.objects[instance] = object{content: p.content, bytes: p.bytes, loose: err != nil}
	s.bytes += p.bytes - old.bytes
	b.bytes -= old.bytes
	if !replaces {
		b.objects++
	}
	s.set = ""
	close(s.changed)
	s.changed = make(chan struct{})
	b.reopen(s)
	return err
}
