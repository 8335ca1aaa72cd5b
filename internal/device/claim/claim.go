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

// Names are the outputs of a request, as it puts them.
func Names(r request.Request) []string {
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
	return names
}

// Outputs are those of requests that were accepted and whose answers have
// not gone out: a file that an answer names must still be that request's when the
// answer arrives.
//
// A request is worked with in the output folder that is configured when its work
// begins. So the claims of those that wait go along where another folder is
// configured (SetRoot), and stay in it from then on (Settle).
type Outputs struct {
	mu      sync.Mutex
	root    string              // the output folder; guarded by mu
	held    map[string]holders  // by path or s3://bucket/key; guarded by mu
	waiting map[*Claim]struct{} // of requests that are not worked with yet; guarded by mu
}

// holders are the claims of one output.
type holders struct {
	count   int
	settled int    // of these, of requests that are worked with or answered
	key     string // of the request that came last
}

// Claim keeps the outputs of one request from others. Its methods may be called
// on nil, which is the claim of a request without outputs.
type Claim struct {
	all       *Outputs
	key       string
	given     []string // as the request puts them
	overwrite bool     // whatever is there

	names     []string // each output by one name; guarded by all.mu
	held      bool     // guarded by all.mu
	contested bool     // a name became another's, too, as the folder was changed; guarded by all.mu
	lost      bool     // and that one came first; guarded by all.mu
}

// resolve gives outputs below the folder one name each, however requests put them. It
// is called with mu held.
func (c *Outputs) resolve(given []string) []string {
	names := make([]string, len(given))
	for i, name := range given {
		if !strings.HasPrefix(name, "s3://") {
			if !filepath.IsAbs(name) {
				name = filepath.Join(c.root, name)
			}
			name = filepath.Clean(name)
		}
		names[i] = name
	}
	return names
}

// SetRoot has outputs be below the folder root, those of requests that wait, too.
func (c *Outputs) SetRoot(root string) {
	if absolute, err := filepath.Abs(root); err == nil {
		root = absolute
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if root == c.root {
		return
	}
	c.root = root
	for claim := range c.waiting {
		claim.set(false)
		claim.names = c.resolve(claim.given)
		claim.set(true)
	}
	for claim := range c.waiting {
		for _, name := range claim.names {
			claim.contested = claim.contested || c.held[name].count > 1
		}
	}
}

// Take claims outputs for the request of a key, unless one of them is claimed by
// another and overwrite is not set.
func (c *Outputs) Take(key string, given []string, overwrite bool) (*Claim, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.resolve(given) {
		if c.held[name].count > 0 && !overwrite {
			return nil, false
		}
	}
	return c.take(key, given, overwrite), true
}

// Retake claims outputs again for a request that an earlier process accepted, whoever
// claims them.
func (c *Outputs) Retake(key string, given []string, overwrite bool) *Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(key, given, overwrite)
}

func (c *Outputs) take(key string, given []string, overwrite bool) *Claim {
	if c.held == nil {
		c.held, c.waiting = make(map[string]holders), make(map[*Claim]struct{})
	}
	claim := &Claim{all: c, key: key, given: given, overwrite: overwrite, names: c.resolve(given)}
	c.waiting[claim] = struct{}{}
	claim.set(true)
	return claim
}

// set is called with all.mu held.
func (c *Claim) set(held bool) {
	if c.held == held {
		return
	}
	c.held = held
	by := 1
	if !held {
		by = -1
	}
	_, waits := c.all.waiting[c]
	for _, name := range c.names {
		h := c.all.held[name]
		if h.count += by; held {
			h.key = c.key
		}
		if !waits {
			h.settled += by
		}
		if c.all.held[name] = h; h.count == 0 {
			delete(c.all.held, name)
		}
	}
}

// Settle notes that the work on the request begins: its outputs stay in the folder
// that is configured now. One that another request has there first is lost.
func (c *Claim) Settle() {
	if c == nil {
		return
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	for _, name := range c.names {
		c.lost = c.lost || c.contested && !c.overwrite && c.all.held[name].settled > 0
	}
	held := c.held && !c.lost
	c.set(false)
	delete(c.all.waiting, c)
	c.set(held)
}

// Lost reports whether another request has an output in the folder in which the work
// on this one began, and so may not be written over.
func (c *Claim) Lost() bool {
	if c == nil {
		return false
	}
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	return c.lost
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
	c.set(held && !c.lost)
	delete(c.all.waiting, c) // it is answered
}

// Own tells whether no claim stands in the way of a request but its own: it was sent
// again while it was being refused.
func (c *Outputs) Own(key string, given []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.resolve(given) {
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
