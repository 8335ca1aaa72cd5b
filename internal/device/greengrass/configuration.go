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
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

// configurationSettles is how long the configuration must not have changed
// before it is read: a deployment changes it leaf by leaf.
const configurationSettles = 300 * time.Millisecond

// live runs the component, anew with every new configuration. One with which it
// does not get as far as taking requests is refused, and the one before stays.
func live(ctx context.Context, opts Options, cfg config.Config) error {
	var s *session
	defer func() {
		if s != nil {
			s.close()
		}
	}()
	var before, refused *config.Config
	for {
		started := false
		var next *config.Config
		err := error(nil)
		if s != nil && !s.fits(cfg) {
			s.close()
			s = nil
		}
		if s == nil {
			s, err = openSession(ctx, opts, cfg)
		}
		if err == nil {
			next, err = run(ctx, opts, s, cfg, refused, func() { started = true })
		}
		switch {
		case err == nil && next != nil:
			old := cfg
			before, refused, cfg = &old, nil, *next
		case err != nil && !started && before != nil && ctx.Err() == nil && !errors.Is(err, ggipc.ErrTokenRefused):
			opts.Logger.Error("the new configuration cannot be used, the one before stays", zap.Error(err))
			bad := cfg
			before, refused, cfg = nil, &bad, *before
		default:
			return err
		}
	}
}

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

// configurationWatcher finds out what a deployment has changed. One goroutine,
// that of serve, uses it.
type configurationWatcher struct {
	client  *ggipc.Client
	opts    Options
	current config.Config
	refused *config.Config // nil for none
	next    *config.Config // what look found
}

func newConfigurationWatcher(s *session, opts Options, current config.Config, refused *config.Config) *configurationWatcher {
	s.configurationMayHaveChanged() // since it was read
	return &configurationWatcher{client: s.client, opts: opts, current: current, refused: refused}
}

// look reads the configuration and reports whether the component must go on
// with another one, next. The log level changes at once; what is not valid
// changes nothing.
func (w *configurationWatcher) look(ctx context.Context, svc *engine.Service) bool {
	cfg, err := readConfiguration(ctx, w.client, w.opts.Logger)
	if errors.Is(err, config.ErrInvalid) {
		w.opts.Logger.Error("the new configuration is refused, the one before stays", zap.Error(err))
		svc.Announce(request.ErrorMessage("the new configuration is not valid and has no effect; the log on the device says why"), request.StateReady)
		return false
	}
	if err != nil {
		w.opts.Logger.Warn("cannot look for configuration changes", zap.Error(err))
		return false
	}
	if w.refused != nil && reflect.DeepEqual(cfg, *w.refused) {
		return false
	}
	if level := cfg.Log.Level; level != w.current.Log.Level {
		w.current.Log.Level = level
		if w.opts.Level != nil {
			w.opts.Level.SetLevel(level)
		}
		w.opts.Logger.Info("log level changed", zap.Stringer("level", level))
	}
	if reflect.DeepEqual(cfg, w.current) {
		return false
	}
	w.opts.Logger.Info("configuration changed, starting anew with it")
	svc.Announce("Configuration changed.", request.StateStarting)
	w.next = &cfg
	return true
}
