// Package updates answers the deployments that a classic nucleus announces before it
// stops the component: go ahead, or later while requests are in work.
//
// It stops nothing itself, and no deployment waits for ever. Package greengrass calls
// it.
package updates

import (
	"context"
	"errors"
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

// Watch answers what is announced for as long as the client lives. lite reports that
// the nucleus is nucleus lite, which announces nothing and is known by that. A refusal
// of the nucleus is told to the log; other errors are those of the connection.
func Watch(ctx context.Context, client *ggipc.Client, busy func() bool, logger *zap.Logger) (lite bool, err error) {
	var d deferral // used by the subscription alone, which calls one function at a time
	_, err = client.SubscribeToComponentUpdates(ctx, func(ctx context.Context, u ggipc.ComponentUpdate) {
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
	var refusal *ggipc.Error
	switch {
	case ggipc.Unsupported(err):
		return true, nil
	case errors.As(err, &refusal):
		logger.Warn("updates are not announced to this component", zap.Error(err))
		return false, nil
	}
	return false, err
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
