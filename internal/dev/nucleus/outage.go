package nucleus

import (
	"context"
	"fmt"
)

// Restart does what components see when the nucleus, or nucleus lite's ggipcd
// alone, dies and is started again: their connections end without a frame, the
// socket is away for a moment, and their tokens are new; the old ones are refused
// from now on. Configuration and states are kept.
func (n *Nucleus) Restart(ctx context.Context) error {
	if err := n.Close(); err != nil {
		return fmt.Errorf("restart local nucleus: %w", err)
	}
	n.mu.Lock()
	clear(n.tokens)
	for name, c := range n.components {
		c.token = newToken()
		n.tokens[c.token] = name
	}
	n.mu.Unlock()
	return n.Start(ctx)
}

// SetPubSub takes away and brings back what passes local messages on, as when
// nucleus lite's ggpubsubd is restarted. While it is away nothing can be published
// or subscribed to. The subscriptions of before never hear anything again, and no
// frame tells so. The classic nucleus has no such part.
func (n *Nucleus) SetPubSub(on bool) error {
	if n.profile == Classic {
		return fmt.Errorf("restart local publish/subscribe alone: %w", ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute = !on
	n.topics = nil // the streams stay open
	return nil
}

// ForgetConfigurationSubscriptions does what a restart of nucleus lite's ggconfigd
// does: nobody who subscribes to changes is ever told of one again, and no frame
// tells so. The classic nucleus has no such part.
func (n *Nucleus) ForgetConfigurationSubscriptions() error {
	if n.profile == Classic {
		return fmt.Errorf("restart the keeper of configurations alone: %w", ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.configs = nil
	return nil
}
