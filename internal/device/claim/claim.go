// Package claim keeps the files that an answer names for the request that it
// answers, from when that is accepted until the answer goes out. It looks at no
// file. Package engine takes the claims; whoever sends answers releases them.
package claim

import (
	"path/filepath"
	"strings"
	"sync"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
)

// Names are the outputs of a request below the output folder root, each by one
// name, however the request puts it.
func Names(root string, r request.Request) []string {
	if r.Output.Discard {
		return nil
	}
	mask, overlay := r.Destinations()
	names := []string{mask, overlay}
	if !r.Output.Overlay {
		names = names[:1]
	}
	if r.Scan != nil {
		names = scans.Suffixes(r.Scan.Kinds)
		for i, suffix := range names {
			names[i] = r.ScanDestination() + suffix
		}
	}
	root, err := filepath.Abs(root)
	for i, name := range names {
		if err == nil && !strings.HasPrefix(name, "s3://") {
			if !filepath.IsAbs(name) {
				name = filepath.Join(root, name)
			}
			names[i] = filepath.Clean(name)
		}
	}
	return names
}

// Outputs are those of requests that were accepted and whose answers have
// not gone out: a file that an answer names must still be that request's when the
// answer arrives.
type Outputs struct {
	mu   sync.Mutex
	held map[string]holders // by path or s3://bucket/key; guarded by mu
}

// holders are the claims of one output.
type holders struct {
	count int
	key   string // of the request that came last
}

// Claim keeps the outputs of one request from others. Its methods may be called
// on nil, which is the claim of a request without outputs.
type Claim struct {
	all   *Outputs
	key   string
	names []string
	held  bool // guarded by all.mu
}

// Take claims names for the request of a key, unless one of them is claimed.
func (c *Outputs) Take(key string, names []string, overwrite bool) (*Claim, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if c.held[name].count > 0 && !overwrite {
			return nil, false
		}
	}
	if c.held == nil {
		c.held = make(map[string]holders)
	}
	claim := &Claim{all: c, key: key, names: names}
	claim.set(true)
	return claim, true
}

// set is called with all.mu held.
func (c *Claim) set(held bool) {
	if c.held == held {
		return
	}
	c.held = held
	for _, name := range c.names {
		h := c.all.held[name]
		if held {
			h.count, h.key = h.count+1, c.key
		} else {
			h.count--
		}
		if c.all.held[name] = h; h.count == 0 {
			delete(c.all.held, name)
		}
	}
}

// Release lets others have the outputs: the answer that names them goes out, or
// never will.
func (c *Claim) Release() { c.change(false) }

// Renew takes the release back: the answer could not be sent yet.
func (c *Claim) Renew() { c.change(true) }

func (c *Claim) change(held bool) {
	if c == nil {
		return
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.set(held)
}

// Own tells whether no claim stands in the way of a request but its own: it was sent
// again while it was being refused.
func (c *Outputs) Own(key string, names []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if h, claimed := c.held[name]; claimed && h.key != key {
			return false
		}
	}
	return true
}

// Held is the number of outputs that are claimed.
func (c *Outputs) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}
