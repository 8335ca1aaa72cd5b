package nucleus

import (
	"fmt"
	"strings"
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

// ParseProfile reads the name of a profile, "classic" or "lite".
func ParseProfile(name string) (Profile, error) {
	switch strings.ToLower(name) {
	case "classic":
		return Classic, nil
	case "lite":
		return Lite, nil
	}
	return 0, fmt.Errorf("nucleus profile %q is unknown: use classic or lite", name)
}

// Bounds of clients that have shown no token yet, of both profiles. The real
// servers are laxer: a client of the classic nucleus may announce frames of 24 MB.
const (
	strangerFrame = 64 << 10         // largest frame taken, bytes
	strangers     = 128              // connections at the same time
	strangerTime  = 10 * time.Second // to show a token
)

// limits are the bounds that the real servers hold.
type limits struct {
	frameIn       int           // largest frame taken, bytes
	frameOut      int           // largest frame written, bytes
	frameTimeout  time.Duration // for the rest of a frame after its first byte, 0 for no bound
	connections   int           // 0 for no bound
	subscriptions int           // to local topics in all, 0 for no bound
	queue         int           // bytes that wait for a reader before its events are dropped
}

func (p Profile) limits() limits {
	if p == Lite {
		return limits{
			frameIn: 10012, frameOut: 10000, frameTimeout: 5 * time.Second,
			connections: 50, subscriptions: 99, queue: 208 << 10,
		}
	}
	return limits{frameIn: frame.MaxSize, frameOut: frame.MaxSize, queue: 8 << 20}
}
