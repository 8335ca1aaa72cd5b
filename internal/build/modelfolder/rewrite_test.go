package modelfolder

import "testing"

func TestPReluIsKeptForTheVersionsThatRunItFast(t *testing.T) {
	for version, want := range map[string]bool{"1.24.3": true, "1.26.0": true, "1.27.0": false, "1.30.1": false, "2.1.0": false, "": false, "nonsense": false} {
		if got := fastPRelu(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
