package nucleus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

func (n *Nucleus) updateState(r *operation.Request) (map[string]any, error) {
	state, _, err := r.Text("state")
	if err != nil {
		return nil, err
	}
	if state != "RUNNING" && state != "ERRORED" {
		return nil, r.Unusable("state must be RUNNING or ERRORED")
	}
	n.states[r.Stream.Component()] = state
	return map[string]any{}, nil
}

// update is a component update that waits for the components to agree.
type update struct {
	deployment string
	waiting    map[string]bool          // components that have not answered
	recheck    map[string]time.Duration // and what the others answered, if not 0
	agreed     chan struct{}            // closed when nobody is waited for
}

// BeginUpdate does what a deployment does around an update: it tells the
// subscribers of component updates, asks again after the time for which a
// component defers, goes ahead when all agree or after Options.UpdateTimeout,
// and tells them that it is over. Where ctx ends first the update is called
// off, of which components are told with the same event.
func (n *Nucleus) BeginUpdate(ctx context.Context, deploymentID string) error {
	if n.profile == Lite {
		return fmt.Errorf("begin component update: %w", ErrUnsupported)
	}
	timeout, cancel := context.WithTimeoutCause(ctx, n.updateTimeout, errUpdateTimeout)
	defer cancel()
	over := func() {}
	defer func() { over() }()
	for {
		u := n.askForUpdate(deploymentID)
		if u == nil {
			return errors.New("begin component update: another one is in progress")
		}
		over = func() { n.tellUpdate("postUpdateEvent", map[string]any{"deploymentId": deploymentID}) }
		select {
		case <-u.agreed:
		case <-timeout.Done():
		}
		recheck := n.endRound()
		if timeout.Err() != nil {
			break
		}
		if recheck == 0 {
			return nil
		}
		select {
		case <-time.After(recheck):
			continue
		case <-timeout.Done():
		}
		break
	}
	if errors.Is(context.Cause(timeout), errUpdateTimeout) {
		return nil
	}
	return fmt.Errorf("begin component update: %w", ctx.Err())
}

var errUpdateTimeout = errors.New("components did not agree in time")

// askForUpdate starts a round of questions, nil where one is under way.
func (n *Nucleus) askForUpdate(deploymentID string) *update {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.update != nil {
		return nil
	}
	u := &update{
		deployment: deploymentID, waiting: make(map[string]bool), recheck: make(map[string]time.Duration), agreed: make(chan struct{}),
	}
	n.update = u
	for _, sub := range n.updates {
		u.waiting[sub.stream.Component()] = true
	}
	n.sendUpdateEvent("preUpdateEvent", map[string]any{"deploymentId": deploymentID, "isGgcRestarting": false})
	n.checkUpdate()
	return u
}

// endRound closes the round and returns after which time to ask again, 0 for
// never.
func (n *Nucleus) endRound() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	recheck := time.Duration(0)
	for _, d := range slices.Collect(maps.Values(n.update.recheck)) {
		recheck = max(recheck, d)
	}
	n.update = nil
	return recheck
}

func (n *Nucleus) tellUpdate(name string, event map[string]any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sendUpdateEvent(name, event)
}

// sendUpdateEvent tells all subscribers of component updates. n.mu is held.
func (n *Nucleus) sendUpdateEvent(name string, event map[string]any) {
	payload, err := document.Append(nil, map[string]any{name: event})
	if err != nil {
		return // strings and booleans only: cannot fail
	}
	for _, sub := range n.updates {
		sub.event("ComponentUpdatePolicyEvents", payload)
	}
}

// checkUpdate ends the round when nobody is waited for. A component that no
// longer subscribes, because its connection ended, is not. n.mu is held.
func (n *Nucleus) checkUpdate() {
	if n.update == nil {
		return
	}
	for name := range n.update.waiting {
		if !slices.ContainsFunc(n.updates, func(sub *subscription) bool { return sub.stream.Component() == name }) {
			delete(n.update.waiting, name)
		}
	}
	if len(n.update.waiting) > 0 {
		return
	}
	select {
	case <-n.update.agreed:
	default:
		close(n.update.agreed)
	}
}

func (n *Nucleus) subscribeToComponentUpdates(r *operation.Request) (map[string]any, error) {
	n.subscribe(&n.updates, &subscription{stream: r.Stream})
	return map[string]any{}, nil
}

func (n *Nucleus) deferComponentUpdate(r *operation.Request) (map[string]any, error) {
	deployment, present, err := r.Text("deploymentId")
	if err != nil {
		return nil, err
	}
	milliseconds := int64(0)
	if v := r.Arguments["recheckAfterMs"]; v != nil {
		number, ok := v.(json.Number)
		if !ok {
			return nil, operation.ErrHandlerThrew
		}
		if milliseconds, err = number.Int64(); err != nil || milliseconds < 0 || milliseconds > int64(24*time.Hour/time.Millisecond) {
			return nil, operation.ErrHandlerThrew
		}
	}
	name := r.Stream.Component()
	if !slices.ContainsFunc(n.updates, func(sub *subscription) bool { return sub.stream.Component() == name }) {
		return nil, r.Invalid("Component is not subscribed to component update events")
	}
	if !present {
		return nil, r.Invalid("Cannot defer when deploymentId is null")
	}
	u := n.update
	if u == nil || u.deployment != deployment || !u.waiting[name] {
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Time limit to respond to PreComponentUpdateEvent exceeded"}
	}
	delete(u.waiting, name)
	u.recheck[name] = time.Duration(milliseconds) * time.Millisecond
	n.checkUpdate()
	return map[string]any{}, nil
}
