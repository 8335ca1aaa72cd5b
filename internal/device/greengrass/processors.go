package greengrass

import (
	"context"
	"runtime"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
)

// processors is the part of the engine that gives Go's own code as many
// processors as there are workers. ONNX Runtime, which does most of the work, is
// not bound by it. With more, the messages of a request wander between processors
// that have to be woken for each, and the runtime watches over those that call
// into ONNX Runtime: that took 4 % of the processor time of a slice, and 3 MB.
type processors struct{ most int }

func newProcessors() *processors { return &processors{most: runtime.GOMAXPROCS(0)} }

func (p *processors) Prepare(_ context.Context, next config.Config) (parts.Change, error) {
	return parts.Change{Commit: func() { runtime.GOMAXPROCS(min(next.Service.Workers, p.most)) }}, nil
}
