// Package dicomservice is the DICOM node as a part of the engine: it follows the
// configuration, and has each series worked on as a request of a whole scan, in the
// engine's queue, behind slices and with a status of its own.
//
// What a node is and does is package dicomnode's; this package knows no DICOM.
// Package greengrass attaches it.
package dicomservice

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/dicomnode"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/parts"
)

// PartDICOM is what the service calls itself in a *parts.Error.
const PartDICOM = "dicom"

// again is the time between tries of what may pass.
const again = 10 * time.Second

// Service runs a node where the configuration asks for one.
type Service struct {
	engine *engine.Engine
	logger *zap.Logger
	nodes  sync.WaitGroup

	mu  sync.Mutex
	now *node // guarded by mu; nil while there is none
}

// node is a node that runs, or waits for the one before it to end.
type node struct {
	cfg        config.Config
	opts       dicomnode.Options
	encryption *tls.Config
	port       *port
	cancel     context.CancelFunc
	ended      chan struct{} // closed when it has
}

// New returns a service for the engine, which it must be attached to.
func New(e *engine.Engine, logger *zap.Logger) *Service {
	return &Service{engine: e, logger: logger}
}

// Prepare checks the settings, and listens on a new address beside the old one.
func (s *Service) Prepare(_ context.Context, next config.Config) (parts.Change, error) {
	s.mu.Lock()
	old := s.now
	s.mu.Unlock()
	switch {
	case next.DICOM.Listen == "":
		return parts.Change{Commit: func() { s.replace(nil) }}, nil
	case old != nil && !config.Diff(old.cfg, next).DICOM:
		return parts.Change{}, nil
	}
	n, err := s.prepare(next, old)
	if err != nil {
		return parts.Change{}, &parts.Error{Part: PartDICOM, Summary: "the settings of the DICOM node cannot be used", Err: fmt.Errorf("dicom: %w", err)}
	}
	return parts.Change{
		Commit: func() { s.replace(n) },
		Abort: func() {
			if old == nil || n.port != old.port {
				n.port.close()
			}
		},
	}, nil
}

func (s *Service) prepare(next config.Config, old *node) (*node, error) {
	n := &node{cfg: next, ended: make(chan struct{})}
	var err error
	if n.opts, n.encryption, err = settings(next.DICOM); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.opts.Folder, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder for received series: %w", err)
	}
	n.opts.Logger = s.logger
	n.opts.Process = func(ctx context.Context, w dicomnode.Work) ([]string, error) {
		return s.process(ctx, w, next.DICOM)
	}
	if old != nil && old.cfg.DICOM.Listen == next.DICOM.Listen {
		n.port = old.port
	} else {
		n.port, err = openPort(next.DICOM.Listen)
	}
	return n, err
}

// replace ends the node that runs, and has the next one, nil for none, begin when
// that is over: they may share a folder.
func (s *Service) replace(next *node) {
	s.mu.Lock()
	old := s.now
	s.now = next
	s.mu.Unlock()
	if old != nil {
		old.cancel()
		if next == nil || next.port != old.port {
			old.port.close()
		} else {
			old.port.hold() // from now on those who call are the next one's
		}
	}
	if next == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	next.cancel = cancel
	s.nodes.Go(func() {
		defer close(next.ended)
		defer cancel()
		if old != nil {
			<-old.ended
		}
		next.run(ctx)
	})
}

// run runs the node until ctx ends. What ends it before may pass.
func (n *node) run(ctx context.Context) {
	for ctx.Err() == nil {
		l := n.port.lend(ctx)
		if n.encryption != nil {
			l = tls.NewListener(l, n.encryption)
		}
		n.opts.Logger.Info("DICOM node listens", zap.String("title", n.cfg.DICOM.Title), zap.Stringer("address", l.Addr()), zap.Bool("tls", n.encryption != nil))
		err := dicomnode.Run(ctx, l, n.opts)
		if ctx.Err() != nil {
			return
		}
		n.opts.Logger.Error("the DICOM node ended; it is started again", zap.Error(err))
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
}

// Addr is the address on which the node listens, "" for none.
func (s *Service) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return ""
	}
	return s.now.port.listener.Addr().String()
}

// Close ends the node, and waits for that until ctx ends. What was received and is
// not worked on stays on disk.
func (s *Service) Close(ctx context.Context) error {
	s.replace(nil)
	over := make(chan struct{})
	go func() { s.nodes.Wait(); close(over) }()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settings makes a node's options of the configuration.
func settings(c config.DICOM) (dicomnode.Options, *tls.Config, error) {
	folder, err := filepath.Abs(c.Folder)
	if err != nil {
		return dicomnode.Options{}, nil, err
	}
	s := dicomnode.Settings{
		Folder: folder, Listen: c.Listen, Title: c.Title, Callers: c.Callers, From: c.From, Associations: c.Associations,
		Quiet: c.Quiet, Keep: c.Keep, MaxBytes: c.Bytes,
		Return: c.Return, ReturnTLS: c.ReturnTLS, STOW: c.STOW, Authorization: c.Authorization,
		Certificates: dicomnode.Certificates{Certificate: c.Certificate, Key: c.Key, Authority: c.Authorities}, Plaintext: c.Plaintext,
	}
	return s.Options()
}
