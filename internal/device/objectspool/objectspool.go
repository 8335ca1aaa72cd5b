// Package objectspool keeps results for S3 on disk while S3 is away, and writes them
// when it is back: in their order, over restarts, tried again with growing pauses.
//
// It is off unless the configuration gives it room. What does not fit, and what S3
// refuses for good, is never accepted or is dropped and counted; nothing that waits
// makes room for something new, for somebody was told that it is on its way. It keeps
// whole results in the file of an outbox (package outbox), synced before it says so.
//
// What Keep has taken is written, whole, at least once, whatever becomes of the process
// and of the power; or it is dropped as above. A power cut may have some of the last
// results written again, and then all later ones behind them. While that can be, new
// results wait too ([Spool.Waiting]): so in the end each key has the last result that
// was written to it.
//
// Package store asks it when S3 does not answer, and whether something waits: then new
// results have to wait behind it. Package greengrass opens it.
package objectspool

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/outbox"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/device/store/objects"
)

// Why Keep keeps nothing.
var (
	ErrOff  = errors.New("no room for results that wait for S3 is configured")
	ErrFull = errors.New("the room for results that wait for S3 is taken")
)

// Spool keeps results for S3. Its methods may be called concurrently. It follows the
// configuration as a part of the engine.
type Spool struct {
	box *outbox.Outbox

	mu      sync.Mutex
	objects *objects.Store // guarded by mu; nil before the first configuration
	room    int64          // bytes; guarded by mu
	taken   int64          // bytes that are being stored; guarded by mu
}

// Open opens the spool with the file at path, which nobody else may use. It does not
// wait for the file. damaged is told where that is set aside. cfg is in effect until
// Prepare's Commit brings another.
func Open(path string, cfg config.Config, logger *zap.Logger, damaged func(setAside string, cause error)) *Spool {
	s := &Spool{objects: objects.New(objects.Of(cfg.S3)), room: cfg.S3.SpoolBytes}
	s.box = outbox.New(outbox.Options{
		Name: "result for S3", Logger: logger, MaxMessages: math.MaxInt, MaxBytes: math.MaxInt,
		Link: outbox.NewLink(outbox.LinkOptions{
			Send: s.send, Hopeless: func(err error) bool { return !fault.Away(err) },
			Away: func(err error) { logger.Info("results wait for S3", zap.Error(err)) },
			Back: func(away time.Duration) {
				logger.Info("S3 takes results again", zap.Duration("away", away.Round(time.Second)))
			},
		}),
	})
	s.box.Keep(path, damaged)
	return s
}

// Waiting reports whether a new result of the same name could be replaced by one that is
// in the spool: where one waits to be written, or was written and would be again after
// a power cut, and as long as nobody knows what the file holds.
func (s *Spool) Waiting() bool { return !s.box.Clear() }

// Keep stores a result to be written at location, "s3://bucket/key", later. When it
// returns nil the result is on the disk.
func (s *Spool) Keep(location string, data []byte) error {
	size := int64(len(location) + len(data))
	stored := int64(s.box.Stats().Bytes)
	s.mu.Lock()
	if s.room == 0 || stored+s.taken+size > s.room {
		defer s.mu.Unlock()
		if s.room == 0 {
			return ErrOff
		}
		return ErrFull
	}
	s.taken += size
	s.mu.Unlock()
	err := s.box.Store(outbox.Message{Topic: location, Document: data})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken -= size
	return err
}

// send writes a result.
func (s *Spool) send(ctx context.Context, m outbox.Message) error {
	s.mu.Lock()
	to := s.objects
	s.mu.Unlock()
	err := to.Put(ctx, m.Topic, m.Document, sha256.Sum256(m.Document))
	var f fault.Fault
	if errors.As(err, &f) { // whose text may name the object, which that of an Error does not
		return &fault.Error{Op: "write result", Kind: f.Kind, Hint: f.Hint, Location: m.Topic, Cause: f.Cause}
	}
	return err
}

// Prepare implements parts.Part.
func (s *Spool) Prepare(_ context.Context, next config.Config) (parts.Change, error) {
	return parts.Change{Commit: func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.objects.Close()
		s.objects, s.room = objects.New(objects.Of(next.S3)), next.S3.SpoolBytes
	}}, nil
}

// Stats tells what waits, and what was dropped.
func (s *Spool) Stats() outbox.Stats { return s.box.Stats() }

// Close writes what waits until ctx ends, or until S3 does not take it. The rest stays
// on the disk.
func (s *Spool) Close(ctx context.Context) {
	s.box.Close(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects.Close()
}
