package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Configuration is a part of a component's configuration.
type Configuration struct {
	ComponentName string `json:"componentName"`
	// Value is a JSON object: the content of the map that the key path names,
	// or {"<last key>": leaf} where it names a leaf. Nucleus lite gives every
	// scalar of a recipe as a string, the classic nucleus numbers as floats.
	Value json.RawMessage `json:"value"`
}

type configurationRequest struct {
	ComponentName string   `json:"componentName,omitempty"`
	KeyPath       []string `json:"keyPath"` // never null: nucleus lite refuses that
}

func newConfigurationRequest(component string, keyPath []string) configurationRequest {
	if keyPath == nil {
		keyPath = []string{}
	}
	return configurationRequest{ComponentName: component, KeyPath: keyPath}
}

// GetConfiguration reads the configuration below keyPath (all of it without one)
// of a component, "" for the own one. A missing key is an *Error with
// CodeResourceNotFound.
func (c *Client) GetConfiguration(ctx context.Context, component string, keyPath ...string) (Configuration, error) {
	var answer Configuration
	err := c.Call(ctx, "GetConfiguration", newConfigurationRequest(component, keyPath), &answer)
	return answer, err
}

// UpdateConfigurationRequest merges a value into the own configuration.
type UpdateConfigurationRequest struct {
	KeyPath   []string  // of a map; empty for the root
	Timestamp time.Time // default: now. An older one than what is stored loses.
	Value     any       // must encode to a JSON object
}

// UpdateConfiguration changes the component's own configuration. The access
// control in it cannot be changed.
func (c *Client) UpdateConfiguration(ctx context.Context, r UpdateConfigurationRequest) error {
	if r.Timestamp.IsZero() {
		r.Timestamp = time.Now()
	}
	millis := r.Timestamp.UnixMilli()
	return c.Call(ctx, "UpdateConfiguration", struct {
		KeyPath   []string    `json:"keyPath,omitempty"`
		Timestamp json.Number `json:"timestamp"`
		Value     any         `json:"valueToMerge"`
	}{
		KeyPath: r.KeyPath,
		// Seconds, always with a decimal point: nucleus lite refuses an integer.
		Timestamp: json.Number(fmt.Sprintf("%d.%03d", millis/1000, millis%1000)),
		Value:     r.Value,
	}, nil)
}

// ConfigurationUpdate says that something below KeyPath changed. It carries no
// value: read it with GetConfiguration. One deployment may cause many.
type ConfigurationUpdate struct {
	ComponentName string   `json:"componentName"`
	KeyPath       []string `json:"keyPath"`
}

// SubscribeToConfigurationUpdate calls handle for every change below keyPath,
// which must exist, of a component, "" for the own one.
func (c *Client) SubscribeToConfigurationUpdate(ctx context.Context, component string, keyPath []string, handle func(context.Context, ConfigurationUpdate)) (*Subscription, error) {
	return c.subscribe(ctx, "SubscribeToConfigurationUpdate", "ConfigurationUpdateEvents", newConfigurationRequest(component, keyPath), func(ctx context.Context, payload []byte) error {
		var event struct {
			Update *ConfigurationUpdate `json:"configurationUpdateEvent"`
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return fmt.Errorf("decode a configuration update: %w", err)
		}
		if event.Update == nil {
			return errors.New("decode a configuration update: no update in it")
		}
		handle(ctx, *event.Update)
		return nil
	})
}
