package config

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiffNamesEveryGroupThatChanged(t *testing.T) {
	if c := Diff(Default(), Default()); c.Any() || c.Groups() != nil {
		t.Errorf("two equal configurations differ in %v", c.Groups())
	}
	tests := map[string]string{
		`{"topics":{"request":"a"}}`:            "Topics",
		`{"model":{"path":"a"}}`:                "Model",
		`{"images":{"roots":["a","b"]}}`:        "Images",
		`{"output":{"root":"a"}}`:               "Output",
		`{"s3":{"buckets":["a"]}}`:              "S3",
		`{"service":{"threads":2}}`:             "Service",
		`{"queue":{"retainHours":2}}`:           "Queue",
		`{"http":{"address":"localhost:5000"}}`: "HTTP",
		`{"dicom":{"title":"A"}}`:               "DICOM",
		`{"ipc":{"maxFrameBytes":5000}}`:        "IPC",
		`{"iotcore":{"results":true}}`:          "IoTCore",
		`{"health":{"seconds":1}}`:              "Health",
		`{"log":{"level":"debug"}}`:             "Log",
	}
	if groups := reflect.TypeFor[Config]().NumField(); len(tests) != groups {
		t.Errorf("%d of %d groups are tested", len(tests), groups)
	}
	for document, want := range tests {
		next, _, err := Parse([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, Diff(Default(), next).Groups()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", document, diff)
		}
	}
}

func TestKeysThatNeedARestartAreThoseThatAreDocumentedSo(t *testing.T) {
	var keys []string
	for _, k := range atStart {
		keys = append(keys, k.key)
	}
	documented := keysIn(t, "../../../docs/configuration.md", "(?m)^\\| `([a-zA-Z0-9.]+)` \\|.*\\| restart \\|$")
	if diff := cmp.Diff(documented, keys); diff != "" {
		t.Errorf("(-documented +known):\n%s", diff)
	}
	next, _, err := Parse([]byte(`{"model":{"library":"a"},"queue":{"folder":"b","retainHours":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	live, waiting := Live(Default(), next)
	if diff := cmp.Diff(keys, waiting); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := Default()
	want.Queue.Retain = next.Queue.Retain
	if Diff(live, want).Any() {
		t.Errorf("live: %+v", live)
	}
	if live, waiting := Live(next, next); Diff(live, next).Any() || waiting != nil {
		t.Errorf("nothing differs, and %v wait", waiting)
	}
}
