// Package dicomnode is a DICOM node: it takes series by C-STORE, has each worked
// on once, and returns the results by C-STORE or STOW-RS.
//
// It ties packages together: dicomnet speaks with peers, dicominbox keeps objects
// until their series is complete, the durable queue keeps the work on it and then its
// answer, and a Return brings the answer's files to another node. Each hands over to
// the next only when that has confirmed, so whatever moment the process is killed or
// the power is cut at, a series that was confirmed to a peer is worked on, has
// one answer, and that is returned at least once; the results' UIDs follow from their
// content, so that a node which gets one twice stores it once.
//
// It opens no model and reads no pixel: the work itself is a Process that the caller
// gives. Of what peers send only titles, addresses and counts get into its log.
package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/device/queue"
)

// Work is a series to be worked on.
type Work struct {
	// Folder has the DICOM files.
	Folder string
	// Name is the series', for the names of its results: the same for all sets of its
	// objects.
	Name string
	// ID names the work: another one for another set of objects or another try, the
	// same one after a new start. At most 64 characters.
	ID string
}

// Process works on a series. It returns the DICOM files to be returned to a node,
// which are on the disk with their names. A *RefusedError tells what is wrong with
// the series; other errors may pass, and the work is tried again a few times.
type Process func(ctx context.Context, w Work) (results []string, err error)

// RefusedError tells that a series cannot be worked on.
type RefusedError struct {
	// Code is a word for it, Reason a sentence without anything of a header.
	Code, Reason string
}

func (e *RefusedError) Error() string { return e.Reason }

// Return brings a DICOM file to where results belong. The error is ErrRefused
// where it will not help to try again.
type Return interface {
	Return(ctx context.Context, file string) error
}

// ErrRefused tells that a node does not take a result, whenever it is sent.
var ErrRefused = errors.New("the node does not take it")

// Options are the settings of Run.
type Options struct {
	// Folder keeps what was received and the work on it. Required. It is made where
	// it is missing.
	Folder string
	// Server has Title, and who may call; what is stored how is set by Run.
	Server dicomnet.Server
	// Inbox bounds what is received, and says when a series is complete; Folder and
	// Logger are set by Run.
	Inbox dicominbox.Options
	// Process works on a series. Required.
	Process Process
	// Return gets the results. Default: they stay where Process leaves them.
	Return Return
	// Removed is told of the name of a series whose objects were removed, and which
	// has been returned if there is a Return. Default: none.
	Removed func(name string)
	// Logger gets what happens. Default: none.
	Logger *zap.Logger

	retry time.Duration // first wait before something is tried again; tests shorten it
}

// SOPClasses are those of the objects that are taken: MR images, enhanced ones, and
// those converted to enhanced ones.
var SOPClasses = []string{"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"}

// TransferSyntaxes are those that the readers of scans read on this machine:
// JPEG 2000 takes a program.
func TransferSyntaxes() []string {
	list := slices.Clone(readSyntaxes)
	if _, err := exec.LookPath("gdcmconv"); err == nil {
		list = append(list, jpeg2000Syntaxes...)
	}
	return list
}

var readSyntaxes = []string{
	"1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5",
	"1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
}

var jpeg2000Syntaxes = []string{"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}

// maxCrashes is how often the process may die with a series in work: it takes
// minutes, and most processes die for other reasons.
const maxCrashes = 5

// closeLimit is how long the queue may take to close.
const closeLimit = 10 * time.Second

// node is a node that runs.
type node struct {
	opts  Options
	inbox *dicominbox.Inbox
	queue *queue.Queue
	log   *zap.Logger

	damaged chan struct{} // gets one when the queue's file was set aside
	// taking is held from when the queue has a series until that is noted, and while
	// it is looked what the queue has.
	taking sync.Mutex
}

// Run has a node accept associations on l, until ctx ends or it cannot go on. It
// closes l.
func Run(ctx context.Context, l net.Listener, opts Options) (err error) {
	defer l.Close()
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.retry <= 0 {
		opts.retry = 2 * time.Second
	}
	n := &node{opts: opts, log: opts.Logger, damaged: make(chan struct{}, 1)}
	n.queue, err = queue.Open(ctx, queue.Options{
		Folder: filepath.Join(opts.Folder, "queue"), MaxCrashes: maxCrashes,
		Damaged: func(setAside string, cause error) {
			n.log.Error("the queue of received series was damaged, and is set aside; series without an answer are worked on again",
				zap.String("file", setAside), zap.Error(cause))
			select {
			case n.damaged <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return fmt.Errorf("open the queue of received series: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		err = errors.Join(err, n.queue.Close(ctx))
	}()
	inbox := opts.Inbox
	inbox.Folder, inbox.Logger = filepath.Join(opts.Folder, "inbox"), opts.Logger
	if opts.Removed != nil {
		inbox.Removed = func(key string, failed bool) {
			if !failed {
				opts.Removed(nameOf(key))
			}
		}
	}
	if n.inbox, err = dicominbox.Open(inbox); err != nil {
		return err
	}
	if err := n.resume(); err != nil {
		return err
	}
	server := opts.Server
	server.SOPClasses, server.TransferSyntaxes, server.Storer, server.Logger = SOPClasses, TransferSyntaxes(), n.inbox, opts.Logger
	return together(ctx,
		func(ctx context.Context) error { return server.Serve(ctx, l) },
		n.takeIn, n.takeUp, n.work, n.deliver,
	)
}

// together runs functions until all have ended; the end of one is that of all.
func together(ctx context.Context, functions ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(functions))
	for i, function := range functions {
		all.Go(func() {
			defer cancel()
			err := function(ctx)
			if ended := ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))); !ended {
				errs[i] = err
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// nameOf is what the results of a series are called.
func nameOf(key string) string { return "series-" + key[:min(len(key), 16)] }
