package listener

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// clients are those who asked lately, with what each may still ask for.
type clients struct {
	mu    sync.Mutex
	known map[netip.Prefix]*client // guarded by mu
}

// client is one address, or one network of IPv6.
type client struct {
	rules    *rules // that the limits are of
	requests *rate.Limiter
	bytes    *rate.Limiter
	seen     time.Time // guarded by clients.mu
}

const (
	maxClients = 1024     // that are kept in mind
	step       = 64 << 10 // the most that is read at once, in bytes
)

// of returns the client at an address, host:port.
func (t *clients) of(remote string, r *rules) *client {
	var network netip.Prefix
	if at, err := netip.ParseAddrPort(remote); err == nil {
		bits := 64 // what one household or machine has of IPv6
		address := at.Addr().Unmap().WithZone("")
		if address.Is4() {
			bits = 32
		}
		network, _ = address.Prefix(bits) // the bits are fitting
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.known[network]
	if c == nil || c.rules != r {
		if t.known == nil {
			t.known = make(map[netip.Prefix]*client)
		}
		if c == nil && len(t.known) >= maxClients {
			t.forget()
		}
		c = &client{rules: r, requests: limiter(float64(r.Requests), 1), bytes: limiter(float64(r.Bytes), step)}
		t.known[network] = c
	}
	c.seen = now
	return c
}

// forget drops the client that was not seen for longest. mu is held.
func (t *clients) forget() {
	var oldest netip.Prefix
	var seen time.Time
	for network, c := range t.known {
		if seen.IsZero() || c.seen.Before(seen) {
			oldest, seen = network, c.seen
		}
	}
	delete(t.known, oldest)
}

// limiter allows so much a second, and that of one second at once; 0 is no limit.
func limiter(second float64, least int) *rate.Limiter {
	if second == 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(second), max(int(second), least))
}

// pause waits for as long as n bytes that were read are above the client's measure.
func (c *client) pause(ctx context.Context, n int) {
	delay := c.bytes.ReserveN(time.Now(), n).Delay()
	if delay <= 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
