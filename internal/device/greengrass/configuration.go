package greengrass

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
)

// configurationSettles is how long the configuration must not have changed
// before it is read: a deployment changes it leaf by leaf.
const configurationSettles = 300 * time.Millisecond

// fetchConfiguration reads what deployments have set.
func fetchConfiguration(ctx context.Context, client *ggipc.Client) (json.RawMessage, error) {
	answer, err := client.GetConfiguration(ctx, "")
	if ggipc.HasCode(err, ggipc.CodeResourceNotFound) {
		return json.RawMessage("{}"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the component's configuration: %w", err)
	}
	return answer.Value, nil
}

// checkConfiguration parses what was read, and tells of keys that mean nothing.
func checkConfiguration(document json.RawMessage, logger *zap.Logger) (config.Config, error) {
	cfg, unknown, err := config.Parse(document)
	if err != nil {
		err = fmt.Errorf("%w (correct it in the deployment's configuration update)", err)
		return config.Config{}, &parts.Error{Part: "configuration", Summary: "the new configuration is not valid and has no effect", Err: err}
	}
	for _, key := range unknown {
		logger.Warn("configuration key is not known and has no effect", zap.String("key", key))
	}
	return cfg, nil
}

// begin starts a component that works by what a deployment has set. Where that cannot
// be used on nucleus lite it works by what was in effect before, and tells so. The
// component is nil where none was started; it is to be ended, also with an error.
func (p process) begin(ctx context.Context, document json.RawMessage) (*component, error) {
	var c *component
	cfg, err := checkConfiguration(document, p.opts.Logger)
	if err == nil {
		c, err = p.try(ctx, cfg)
	}
	before, ok := p.kept.Instead(cfg, err)
	switch {
	case err == nil:
		p.kept.Keep(document)
		return c, nil
	case !ok:
		return c, err
	}
	p.opts.Logger.Error("the configuration cannot be used, the one before is taken", zap.Error(err))
	if c != nil {
		c.close(time.Now().Add(p.opts.StopTimeout))
	}
	c, unfit := p.try(ctx, before)
	if unfit != nil {
		return c, errors.Join(err, fmt.Errorf("with the configuration before: %w", unfit)) // which may be no matter of it
	}
	c.tellRefused(err)
	return c, nil
}

// tellRefused tells from afar that the configuration that is set is not used, and why.
func (c *component) tellRefused(err error) {
	c.refused.Store(true)
	c.engine.Announce(request.ErrorMessage(summary(err, "the log on the device says why")+"; the configuration before stays in effect"), request.StateReady)
}

// watchConfiguration has changes told. A component without any configuration is
// told of none.
func (c *component) watchConfiguration(ctx context.Context) error {
	subscription, err := c.client.SubscribeToConfigurationUpdate(ctx, "", nil, func(context.Context, ggipc.ConfigurationUpdate) { c.configurationMayHaveChanged() })
	var refusal *ggipc.Error
	if errors.As(err, &refusal) {
		c.opts.Logger.Warn("configuration changes take effect at the next start only", zap.Error(err))
		return nil
	}
	c.updates = subscription
	return err
}

func (c *component) configurationMayHaveChanged() {
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

// configurationWatcher has the engine follow what deployments change. One
// goroutine, that of serve, uses it.
type configurationWatcher struct {
	*component
	seen    json.RawMessage // the last that was looked at
	when    time.Time       // that it was
	unfit   *config.Config  // the last that could not be used; nil for none
	waiting []string        // keys that were told to wait for the next start
}

// remind is called now and then. Nucleus lite forgets this subscription, too, when
// the service that keeps configurations (ggconfigd) is restarted, and there is
// nothing to try it with: so what is set is looked at anyhow.
func (w *configurationWatcher) remind() {
	if w.lite && time.Since(w.when) >= w.opts.LookInterval {
		w.when = time.Now()
		w.configurationMayHaveChanged()
	}
}

// look reads the configuration and has it applied where it is another one. What
// cannot be used changes nothing.
func (w *configurationWatcher) look(ctx context.Context) {
	document, err := fetchConfiguration(ctx, w.client)
	if err != nil {
		w.opts.Logger.Warn("cannot look for configuration changes yet", zap.Error(err))
		w.configurationMayHaveChanged()
		return
	}
	w.when = time.Now()
	if bytes.Equal(document, w.seen) {
		return
	}
	w.seen = document
	next, err := checkConfiguration(document, w.opts.Logger)
	if err != nil {
		w.opts.Logger.Error("the new configuration is refused, the one before stays", zap.Error(err))
		w.tellRefused(err)
		return
	}
	next, waiting := config.Live(w.engine.Config(), next)
	w.tellWaiting(waiting)
	if w.unfit != nil && reflect.DeepEqual(next, *w.unfit) {
		return
	}
	changes := config.Diff(w.engine.Config(), next)
	if !changes.Any() {
		w.inEffect(document)
		return
	}
	only := config.Changes{Log: true}
	if changes != only {
		w.engine.Announce("Configuration changed.", request.StateReady)
	}
	if err := w.engine.Apply(ctx, next); err != nil {
		if ctx.Err() != nil {
			return // the component ends
		}
		w.unfit = &next
		w.opts.Logger.Error("the new configuration cannot be used, the one before stays", zap.Error(err))
		w.tellRefused(err)
	} else {
		w.opts.Level.SetLevel(next.Log.Level)
		w.inEffect(document)
	}
	if changes != only {
		w.engine.Announce(messageReady, request.StateReady)
	}
}

// inEffect notes that the engine works by a document, but for keys that wait: what
// they say is not tried.
func (w *configurationWatcher) inEffect(document json.RawMessage) {
	w.unfit = nil
	w.refused.Store(false)
	if len(w.waiting) == 0 {
		w.kept.Keep(document)
	}
}

// tellWaiting tells which keys of a new configuration wait for a new process, once.
func (w *configurationWatcher) tellWaiting(keys []string) {
	if !slices.Equal(keys, w.waiting) && len(keys) > 0 {
		w.opts.Logger.Warn("these keys of the configuration take effect at the next start", zap.Strings("keys", keys))
		w.engine.Announce("Configuration changed; "+strings.Join(keys, " and ")+" from the next start on.", w.engine.State())
	}
	w.waiting = keys
}
