// Package processors gives Go's own code as many processors as there are workers.
// ONNX Runtime, which does most of the work, is not bound by it. With more, the
// messages of a request wander between processors that have to be woken for each,
// and the runtime watches over those that call into ONNX Runtime: that took 4 % of
// the processor time of a slice, and 3 MB.
//
// It starts no workers. Package greengrass has it in the engine of the component.
package processors

import (
	"context"
	"runtime"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
)

// Processors is the part of an engine that follows the number of workers.
type Processors struct{ most int }

// New returns one that gives at most as many as there are now.
func New() *Processors { return &Processors{most: runtime.GOMAXPROCS(0)} }

// Prepare implements parts.Part.
func (p *Processors) Prepare(_ context.Context, next config.Config) (parts.Change, error) {
	return parts.Change{Commit: func() { runtime.GOMAXPROCS(min(next.Service.Workers, p.most)) }}, nil
}
