package ipcserver

import (
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Profile selects which of the two real nuclei is imitated.
type Profile int

const (
	// Classic is the Java nucleus, aws.greengrass.Nucleus.
	Classic Profile = iota
	// Lite is nucleus lite 2.6, aws.greengrass.NucleusLite.
	Lite
)

// String returns "classic" or "lite".
func (p Profile) String() string {
	if p == Lite {
		return "lite"
	}
	return "classic"
}

// Limits are the bounds that the real servers hold, and stricter ones for clients
// that have shown no token yet: those of the classic nucleus may announce frames
// of 24 MB.
type Limits struct {
	FrameIn       int           // largest frame taken, bytes
	FrameOut      int           // largest frame written, bytes
	FrameTime     time.Duration // for the rest of a frame after its first byte, 0 for no bound
	Connections   int           // 0 for no bound
	Subscriptions int           // to local topics in all, 0 for no bound
	Queue         int           // bytes that wait for a reader before its events are dropped

	StrangerFrame int           // largest frame taken before the token, bytes
	Strangers     int           // connections without a token at the same time
	StrangerTime  time.Duration // to show a token
}

// Limits returns the bounds of the imitated nucleus.
func (p Profile) Limits() Limits {
	limits := Limits{
		FrameIn: frame.MaxSize, FrameOut: frame.MaxSize, Queue: 8 << 20,
		StrangerFrame: 64 << 10, Strangers: 128, StrangerTime: 10 * time.Second,
	}
	if p == Lite {
		limits.FrameIn, limits.FrameOut, limits.FrameTime = 10012, 10000, 5*time.Second
		limits.Connections, limits.Subscriptions, limits.Queue = 50, 99, 208<<10
	}
	return limits
}
