package greengrass

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/outbox"
	"github.com/brainseg/brainseg/internal/device/request"
)

// gatherHealth has the parts of the component say how they fare.
func (c *component) gatherHealth() {
	c.health.Model(c.engine.Model)
	c.health.Add(func(d *request.Health) {
		d.StuckReads, d.HungInferences, d.Models = c.engine.Stuck(), c.engine.Watchdog().Hung(), c.engine.Models()
		d.ConfigurationRefused = c.refused.Load()
		seen := c.requests.seen()
		d.Lost["requests"], d.Resubscribed, d.Deaf = seen.lost, seen.renewed, seen.deaf
		for name, o := range map[string]*outbox.Outbox{"results": c.out.results, "status": c.out.local, "cloudStatus": c.out.cloud} {
			s := o.Stats()
			d.Lost[name], d.Waiting[name], d.DamagedStores = s.Lost, s.Waiting, d.DamagedStores+s.Damaged
			d.WaitingSeconds[name] = s.Longest.Round(time.Millisecond).Seconds()
		}
		if c.queue == nil {
			return
		}
		o := c.objects.Stats()
		d.Lost["objects"], d.Waiting["objects"], d.DamagedStores = o.Lost, o.Waiting, d.DamagedStores+o.Damaged
		d.WaitingSeconds["objects"] = o.Longest.Round(time.Millisecond).Seconds()
		for _, a := range c.answers {
			kind := map[string]string{diskqueue.ToIPC: "results", diskqueue.ToIoTCore: "cloudResults"}[a.To]
			n, age := a.Waiting()
			d.Lost[kind] = c.lostResults(a.To)
			d.Waiting[kind] += n
			d.WaitingSeconds[kind] = max(d.WaitingSeconds[kind], age.Round(time.Millisecond).Seconds())
		}
		disk := c.queue.Stats() // those of processes before this one, too
		d.Unanswered = max(d.Unanswered, disk.Waiting+disk.Working)
		if !disk.Oldest.IsZero() {
			d.OldestSeconds = max(d.OldestSeconds, time.Since(disk.Oldest).Seconds())
		}
		d.DamagedStores += disk.Damaged
	})
}

// lostResults counts the answers that did not arrive at a destination and never will.
func (c *component) lostResults(to string) (n uint64) {
	if to == diskqueue.ToIPC {
		n = c.out.results.Stats().Lost
	}
	for _, a := range c.answers {
		if a.To == to {
			n += a.Refused()
		}
	}
	if to == diskqueue.ToIoTCore && c.queue != nil {
		n += c.queue.Stats().GivenUp
	}
	return n
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
		t.cloudWatch = outbox.New(outbox.Options{
			Name: "metric", Link: t.out.link("metric", outbox.LinkOptions{Send: publishMetrics(t.client, t.opts.Logger)}), Logger: t.opts.Logger,
		})
	}
	for _, m := range messages {
		t.cloudWatch.Put(outbox.Message{Topic: health.CloudWatchTopic, Document: m})
	}
}

// publishMetrics sends metrics as JSON messages, the only ones that the CloudWatch
// component reads. A refusal is told once: the next metrics will not fare better.
func publishMetrics(client *ggipc.Client, logger *zap.Logger) func(context.Context, outbox.Message) error {
	told := false
	return func(ctx context.Context, m outbox.Message) error {
		err := client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: m.Topic, JSON: m.Document})
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
