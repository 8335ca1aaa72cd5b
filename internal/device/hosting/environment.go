package hosting

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"strconv"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/hosting/invocations"
	"github.com/brainseg/brainseg/internal/device/listener"
	"github.com/brainseg/brainseg/internal/model"
)

// The environment of a container: what the service sets, and what the model's
// Environment may.
const (
	envBatch      = "SAGEMAKER_BATCH"
	envMaxPayload = "SAGEMAKER_MAX_PAYLOAD_IN_MB"
	envPort       = "SAGEMAKER_BIND_TO_PORT"

	// EnvTrustedAddress is an address where everybody is let in. The image sets it,
	// whose network is the service's own.
	EnvTrustedAddress = "BRAINSEG_TRUSTED_ADDRESS"
	// EnvConfiguration is a document as Options.Configuration.
	EnvConfiguration = "BRAINSEG_CONFIGURATION"
)

// FromEnvironment returns the options that the environment asks for; getenv is
// os.Getenv.
func FromEnvironment(getenv func(string) string) (Options, error) {
	o := Options{Address: getenv(EnvTrustedAddress), Trusted: getenv(EnvTrustedAddress) != "", Configuration: getenv(EnvConfiguration)}
	if text := getenv(envBatch); text != "" {
		batch, err := strconv.ParseBool(text)
		if err != nil {
			return Options{}, fmt.Errorf("%s is %q and must be true or false", envBatch, text)
		}
		o.Batch = batch
	}
	// 0 says that a payload comes in chunks and may have any size.
	if text := getenv(envMaxPayload); text != "" {
		megabytes, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return Options{}, fmt.Errorf("%s is %q and must be a number of megabytes", envMaxPayload, text)
		}
		o.MaxPayload = int64(megabytes) << 20
	}
	if port := getenv(envPort); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return Options{}, fmt.Errorf("%s is %q and must be a port", envPort, port)
		}
		address := cmp.Or(o.Address, DefaultAddress)
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return Options{}, fmt.Errorf("%s is %q and must be host:port", EnvTrustedAddress, address)
		}
		o.Address = net.JoinHostPort(host, port)
	}
	return o, nil
}

// configuration is what the engine is opened with: a slice for each processor,
// no folders, and S3 only where it is asked for.
func (o Options) configuration() (config.Config, error) {
	workers := runtime.GOMAXPROCS(0)
	document := map[string]any{"service": map[string]any{"workers": min(workers, 64)}}
	if o.Configuration != "" {
		var given map[string]any
		if err := json.Unmarshal([]byte(o.Configuration), &given); err != nil || given == nil {
			return config.Config{}, fmt.Errorf("read %s: %w: it is not a JSON object", EnvConfiguration, config.ErrInvalid)
		}
		document = merged(document, given)
	}
	joined, err := json.Marshal(document)
	if err != nil {
		return config.Config{}, err
	}
	cfg, unknown, err := config.Parse(joined)
	if err != nil {
		return config.Config{}, fmt.Errorf("read %s: %w", EnvConfiguration, err)
	}
	if len(unknown) > 0 {
		o.Logger.Warn("the configuration has keys that mean nothing", zap.Strings("keys", unknown))
	}
	cfg.Images.Roots, cfg.Output.Root, cfg.Output.RetainAge, cfg.Output.RetainBytes = nil, "", 0, 0
	// Records that a body brings are in work together; they never meet a full
	// budget while nothing else is asked for.
	cfg.Images.TotalBytes = max(cfg.Images.TotalBytes, int64(4*cfg.Service.Workers+8)*cfg.Images.MaxBytes)
	cfg.Service.Queue = max(cfg.Service.Queue, 2*invocations.InWork(cfg.Service.Workers))
	cfg.Model = config.Model{Library: o.Library}
	return cfg, nil
}

// settings say where to listen. One client, the service, sends everything, and has
// its own measure.
func (o Options) settings(cfg config.Config) listener.Settings {
	s := listener.Settings{HTTP: cfg.HTTP, Trusted: o.Trusted}
	s.Address = cmp.Or(o.Address, s.Address, DefaultAddress)
	if o.Trusted {
		s.Requests, s.Bytes = 0, 0
	}
	return s
}

// merged puts the values of over into those of under, object by object.
func merged(under, over map[string]any) map[string]any {
	result := maps.Clone(under)
	for key, value := range over {
		below, isObject := under[key].(map[string]any)
		above, alsoObject := value.(map[string]any)
		if isObject && alsoObject {
			value = merged(below, above)
		}
		result[key] = value
	}
	return result
}

// findModel returns the folder of the model that the service unpacked, or of the
// one that serves where there is none.
func (o Options) findModel() (string, error) {
	dir, err := model.Find(o.Model)
	if errors.Is(err, model.ErrNothing) && o.Fallback != "" {
		o.Logger.Warn("no model was given, so the program's own is served", zap.String("looked", o.Model))
		return o.Fallback, nil
	}
	return dir, err
}
