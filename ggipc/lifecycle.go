package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is what a component reports of itself.
type State string

// The states that a component may report.
const (
	StateRunning State = "RUNNING"
	StateErrored State = "ERRORED"
)

// UpdateState reports the component's state.
func (c *Client) UpdateState(ctx context.Context, state State) error {
	return c.Call(ctx, "UpdateState", struct {
		State State `json:"state"`
	}{state}, nil)
}

// ComponentUpdate announces a deployment that changes this component, or its
// end. Every announcement with Pre set must be answered by DeferComponentUpdate,
// or the deployment waits for its whole timeout.
type ComponentUpdate struct {
	Pre                bool // before the update; otherwise after it
	DeploymentID       string
	NucleusWillRestart bool // with Pre only
}

// SubscribeToComponentUpdates calls handle for the announcements. Nucleus lite
// does not have the operation: see Unsupported.
func (c *Client) SubscribeToComponentUpdates(ctx context.Context, handle func(context.Context, ComponentUpdate)) (*Subscription, error) {
	return c.subscribe(ctx, "SubscribeToComponentUpdates", "ComponentUpdatePolicyEvents", struct{}{}, func(ctx context.Context, payload []byte) error {
		type announcement struct {
			DeploymentID    string `json:"deploymentId"`
			IsGgcRestarting bool   `json:"isGgcRestarting"`
		}
		var event struct {
			Pre  *announcement `json:"preUpdateEvent"`
			Post *announcement `json:"postUpdateEvent"`
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return fmt.Errorf("decode a component update event: %w", err)
		}
		switch {
		case event.Pre != nil:
			handle(ctx, ComponentUpdate{Pre: true, DeploymentID: event.Pre.DeploymentID, NucleusWillRestart: event.Pre.IsGgcRestarting})
		case event.Post != nil:
			handle(ctx, ComponentUpdate{DeploymentID: event.Post.DeploymentID})
		default:
			return errors.New("decode a component update event: neither before nor after an update")
		}
		return nil
	})
}

// DeferComponentUpdateRequest answers an announcement.
type DeferComponentUpdateRequest struct {
	DeploymentID string
	Message      string        // why, for the deployment's log
	RecheckAfter time.Duration // 0: go ahead now
}

// DeferComponentUpdate asks for a later update, or consents to one.
func (c *Client) DeferComponentUpdate(ctx context.Context, r DeferComponentUpdateRequest) error {
	return c.Call(ctx, "DeferComponentUpdate", struct {
		DeploymentID   string `json:"deploymentId"`
		Message        string `json:"message,omitempty"`
		RecheckAfterMs int64  `json:"recheckAfterMs"`
	}{r.DeploymentID, r.Message, r.RecheckAfter.Milliseconds()}, nil)
}

// ValidateAuthorizationToken reports whether token belongs to a component on
// this device. Only components that serve others may ask.
func (c *Client) ValidateAuthorizationToken(ctx context.Context, token string) (bool, error) {
	var answer struct {
		IsValid bool `json:"isValid"`
	}
	err := c.Call(ctx, "ValidateAuthorizationToken", struct {
		Token string `json:"token"`
	}{token}, &answer)
	return answer.IsValid, err
}
