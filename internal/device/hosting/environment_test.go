package hosting

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEnvironmentSaysHowTheContainerIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name        string
		environment map[string]string
		want        Options
		err         string
	}{
		{"outside", nil, Options{}, ""},
		{"an endpoint", map[string]string{EnvTrustedAddress: ":8080", EnvConfiguration: "{}"}, Options{Address: ":8080", Configuration: "{}"}, ""},
		{"one of several containers", map[string]string{EnvTrustedAddress: ":8080", envPort: "9001"}, Options{Address: ":9001"}, ""},
		{"a port outside", map[string]string{envPort: "9001"}, Options{Address: "127.0.0.1:9001"}, ""},
		{"a transform job", map[string]string{envBatch: "true", envMaxPayload: "6"}, Options{Batch: true, MaxPayload: 6 << 20}, ""},
		{"payloads in chunks", map[string]string{envBatch: "true", envMaxPayload: "0"}, Options{Batch: true}, ""},
		{"an odd switch", map[string]string{envBatch: "maybe"}, Options{}, envBatch},
		{"an odd size", map[string]string{envMaxPayload: "-1"}, Options{}, envMaxPayload},
		{"an odd port", map[string]string{envPort: "http"}, Options{}, envPort},
		{"an odd address", map[string]string{EnvTrustedAddress: "8080", envPort: "1"}, Options{}, EnvTrustedAddress},
	} {
		got, err := FromEnvironment(func(name string) string { return tt.environment[name] })
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
		}
		if got.Address != tt.want.Address || got.Configuration != tt.want.Configuration || got.Batch != tt.want.Batch || got.Trusted != (tt.environment[EnvTrustedAddress] != "" && err == nil) || got.MaxPayload != tt.want.MaxPayload {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestTheProgramsOwnModelServesOnlyWhereNoneWasGiven(t *testing.T) {
	empty, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "model-symbol.json"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if got, err := (Options{Model: empty, Fallback: "own"}).withDefaults().findModel(); err != nil || got != "own" {
		t.Errorf("nothing given: %q, %v", got, err)
	}
	if got, err := (Options{Model: other, Fallback: "own"}).withDefaults().findModel(); err == nil {
		t.Errorf("another model given: %q", got)
	}
}
