// Package updates answers the deployments that a classic nucleus announces before it
// stops the component: go ahead, or later while requests are in work.
//
// It stops nothing itself, and no deployment waits for ever. Package greengrass calls
// it.
package updates

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
)

// Bounds of the wait of a deployment. Requests that have not come to an end by then
// are in the queue, and begin anew after the update.
const (
	recheck  = 15 * time.Second // until it asks again
	patience = 5 * time.Minute  // in all
)

// Watch answers what is announced for as long as the client lives. The error is that
// of the subscription: nucleus lite announces nothing and is known by that, see
// ggipc.Unsupported.
func Watch(ctx context.Context, client *ggipc.Client, busy func() bool, logger *zap.Logger) error {
	var d deferral // used by the subscription alone, which calls one function at a time
	_, err := client.SubscribeToComponentUpdates(ctx, func(ctx context.Context, u ggipc.ComponentUpdate) {
		if !u.Pre {
			d = deferral{}
			return
		}
		answer := ggipc.DeferComponentUpdateRequest{DeploymentID: u.DeploymentID}
		if answer.RecheckAfter = d.answer(u.DeploymentID, time.Now(), busy()); answer.RecheckAfter > 0 {
			answer.Message = "requests are in work"
			logger.Info("a deployment is put off while requests are in work", zap.Duration("recheckAfter", answer.RecheckAfter))
		}
		if err := client.DeferComponentUpdate(ctx, answer); err != nil {
			logger.Warn("answer to an announced update failed", zap.Error(err))
		}
	})
	return err
}

// deferral is the deployment that is put off, and since when.
type deferral struct {
	deployment string
	since      time.Time
}

// answer says for how long a deployment is to wait; 0: it may go ahead.
func (d *deferral) answer(deployment string, now time.Time, busy bool) time.Duration {
	if d.deployment != deployment {
		*d = deferral{deployment, now}
	}
	left := patience - now.Sub(d.since)
	if !busy || left <= 0 {
		return 0
	}
	return min(recheck, left)
}
