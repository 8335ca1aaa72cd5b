// Package parts has what follows the configuration beside the engine, such as a
// listener or a subscription. Parts go over to another configuration together or
// not at all: all get ready for it first, and only then does the first one change.
//
// It knows no configuration's meaning and keeps none. Packages greengrass, listener
// and dicomservice have parts; package engine prepares and commits them with what it
// changes itself.
package parts

import (
	"context"

	"github.com/brainseg/brainseg/internal/device/config"
)

// Part follows the configuration.
type Part interface {
	// Prepare gets ready for next and leaves what runs as it is. The error, best
	// an *Error, says why next cannot be used. Otherwise exactly one of the
	// functions of the Change is called soon after.
	Prepare(ctx context.Context, next config.Config) (Change, error)
}

// Change is a change that was prepared. A nil function does nothing.
type Change struct {
	Commit func() // go over to what was prepared; it cannot fail
	Abort  func() // let go of what was prepared
}

// Prepare has parts get ready for next, one after the other, and returns the change
// of all of them; both its functions are set. Where a part cannot use next, those
// before it let go, and the error is that part's.
func Prepare(ctx context.Context, next config.Config, list ...Part) (Change, error) {
	var commit, abort []func()
	all := Change{Commit: func() { run(commit) }, Abort: func() { run(abort) }}
	for _, p := range list {
		change, err := p.Prepare(ctx, next)
		if err != nil {
			all.Abort()
			return Change{}, err
		}
		commit, abort = append(commit, change.Commit), append(abort, change.Abort)
	}
	return all, nil
}

func run(list []func()) {
	for _, f := range list {
		if f != nil {
			f()
		}
	}
}

// Error says which part of a configuration cannot be used.
type Error struct {
	// Part is what a part calls itself; of the engine's own there are
	// engine.PartModel and engine.PartStore.
	Part string
	// Summary says it in one sentence without paths, for those who watch from afar.
	Summary string
	// Err is the whole story, for the log on the device.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }
