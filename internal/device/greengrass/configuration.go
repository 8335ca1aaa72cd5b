package greengrass

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

// configurationSettles is how long the configuration must not have changed
// before it is read: a deployment changes it leaf by leaf.
const configurationSettles = 300 * time.Millisecond

// readConfiguration reads and checks what deployments have set.
func readConfiguration(ctx context.Context, client *ggipc.Client, logger *zap.Logger) (config.Config, error) {
	answer, err := client.GetConfiguration(ctx, "")
	if ggipc.HasCode(err, ggipc.CodeResourceNotFound) {
		answer.Value, err = json.RawMessage("{}"), nil
	}
	if err != nil {
		return config.Config{}, fmt.Errorf("read the component's configuration: %w", err)
	}
	cfg, unknown, err := config.Parse(answer.Value)
	if err != nil {
		return config.Config{}, fmt.Errorf("%w (correct it in the deployment's configuration update)", err)
	}
	for _, key := range unknown {
		logger.Warn("configuration key is not known and has no effect", zap.String("key", key))
	}
	return cfg, nil
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
	refused *config.Config // the last that could not be used; nil for none
}

// look reads the configuration and has it applied where it is another one. What
// cannot be used changes nothing.
func (w *configurationWatcher) look(ctx context.Context) {
	next, err := readConfiguration(ctx, w.client, w.opts.Logger)
	if errors.Is(err, config.ErrInvalid) {
		w.opts.Logger.Error("the new configuration is refused, the one before stays", zap.Error(err))
		w.engine.Announce(request.ErrorMessage("the new configuration is not valid and has no effect; the log on the device says why"), request.StateReady)
		return
	}
	if err != nil {
		w.opts.Logger.Warn("cannot look for configuration changes yet", zap.Error(err))
		w.configurationMayHaveChanged()
		return
	}
	if w.refused != nil && reflect.DeepEqual(next, *w.refused) {
		return
	}
	changes := config.Diff(w.engine.Config(), next)
	if !changes.Any() {
		w.refused = nil
		return
	}
	only := config.Changes{Log: true}
	if changes != only {
		w.engine.Announce("Configuration changed.", request.StateReady)
	}
	if old := w.engine.Config().Queue.Folder; old != next.Queue.Folder {
		w.opts.Logger.Warn("another queue.folder takes effect at the next start")
	}
	if err := w.engine.Apply(ctx, next); err != nil {
		if ctx.Err() != nil {
			return // the component ends
		}
		w.refused = &next
		w.opts.Logger.Error("the new configuration cannot be used, the one before stays", zap.Error(err))
		text := summary(err, "the log on the device says why") + "; the configuration before stays in effect"
		w.engine.Announce(request.ErrorMessage(text), request.StateReady)
	} else {
		w.refused = nil
		w.opts.Level.SetLevel(next.Log.Level)
	}
	if changes != only {
		w.engine.Announce(messageReady, request.StateReady)
	}
}
