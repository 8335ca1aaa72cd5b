package greengrass

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/request"
)

// gatherHealth has the parts of the component say how they fare.
func (c *component) gatherHealth() {
	c.health.Model(c.engine.Model)
	c.health.Add(func(d *request.Health) {
		d.StuckReads, d.HungInferences, d.Models = c.engine.Stuck(), c.engine.Watchdog().Hung(), c.engine.Models()
		seen := c.requests.seen()
		d.Lost["requests"], d.Resubscribed, d.Deaf = seen.lost, seen.renewed, seen.deaf
		for name, o := range map[string]*outbox{"results": c.out.results, "status": c.out.local, "cloudStatus": c.out.cloud} {
			d.Lost[name], d.Waiting[name] = o.losses(), o.waiting()
		}
		if c.queue == nil {
			return
		}
		disk := c.queue.Stats() // those of processes before this one, too
		d.Unanswered = max(d.Unanswered, disk.Waiting+disk.Working)
		if !disk.Oldest.IsZero() {
			d.OldestSeconds = max(d.OldestSeconds, time.Since(disk.Oldest).Seconds())
		}
		for _, n := range disk.Pending {
			d.Waiting["results"] += n
		}
		d.DamagedStores = disk.Damaged
	})
}

// waiting counts the messages that are queued.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// healthTeller tells how the component fares, when it is time to and when somebody
// asks. One goroutine, that of serve, uses it.
type healthTeller struct {
	*component
	told    time.Time // on the status topic
	metrics *health.CloudWatch
	sent    time.Time // metrics
}

// look is called once a second: no flood of questions makes more messages.
func (t *healthTeller) look() {
	t.health.Note()
	now, every := time.Now(), t.engine.Config().Health
	if asked := t.requests.asked.Swap(false); asked || every.Interval > 0 && now.Sub(t.told) >= every.Interval {
		t.told = now
		document := t.health.Document()
		model := t.engine.Model()
		t.out.status(request.Status{
			Message: request.MessageHealth, State: t.engine.State(), Time: now.UTC(), Thing: thing(),
			Model: &request.Model{Name: model.Name, Version: model.Version}, Health: &document,
		})
	}
	switch {
	case every.CloudWatch == 0:
		t.metrics = nil
	case t.metrics == nil:
		t.metrics, t.sent = t.health.CloudWatch(), now
	case now.Sub(t.sent) >= every.CloudWatch:
		t.sent = now
		t.sendMetrics()
	}
}

func (t *healthTeller) sendMetrics() {
	messages, err := t.metrics.Messages()
	if err != nil {
		t.opts.Logger.Error("metrics cannot be encoded", zap.Error(err))
		return
	}
	if t.cloudWatch == nil {
		t.cloudWatch = newOutbox("metric", publishMetrics(t.client, t.opts.Logger), t.opts.Logger)
	}
	for _, m := range messages {
		t.cloudWatch.put(message{topic: health.CloudWatchTopic, document: m})
	}
}

// publishMetrics sends metrics as JSON messages, the only ones that the CloudWatch
// component reads. A refusal is told once: the next metrics will not fare better.
func publishMetrics(client *ggipc.Client, logger *zap.Logger) func(context.Context, message) error {
	told := false
	return func(ctx context.Context, m message) error {
		err := client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: m.topic, JSON: m.document})
		var refusal *ggipc.Error
		if !errors.As(err, &refusal) || refusal.Retryable() {
			return err
		}
		if !told {
			told = true
			logger.Warn("metrics are refused: see accessControl in the component's recipe", zap.Error(err))
		}
		return nil
	}
}
