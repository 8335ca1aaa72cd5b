package nucleus

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFiltersMatchAsInEachNucleus(t *testing.T) {
	tests := []struct {
		filter, topic string
		classic, lite bool
	}{
		{"a/b", "a/b", true, true},
		{"a/b", "a/c", false, false},
		{"a/b", "A/b", false, false},
		{"a/+", "a/b", true, true},
		{"a/+", "a/b/c", false, false},
		{"a/+", "a", false, false},
		{"a/+", "a/", false, true},
		{"+", "/a", false, false},
		{"+/c", "a/c", true, true},
		{"a/+/c", "a/b/c", true, true},
		{"a/b+", "a/bc", false, false},
		{"a/#", "a/b", true, true},
		{"a/#", "a/b/c", true, true},
		{"a/#", "a", false, true},
		{"#", "a/b", true, true},
		{"#", "$sys/a", true, false},
		{"+/a", "$sys/a", true, false},
		{"$sys/#", "$sys/a", true, true},
		{"a/b/", "a/b", true, false},
		{"a/b", "a/b/", true, false},
	}
	for _, test := range tests {
		if got := matchLocal(Classic, test.filter, test.topic); got != test.classic {
			t.Errorf("classic: filter %q, topic %q: got %v", test.filter, test.topic, got)
		}
		if got := matchLocal(Lite, test.filter, test.topic); got != test.lite {
			t.Errorf("lite: filter %q, topic %q: got %v", test.filter, test.topic, got)
		}
	}
}

func TestPolicyResourcesCoverWhatEachServiceSays(t *testing.T) {
	tests := []struct {
		pattern, resource string
		pubsub, mqtt      bool
	}{
		{"a/b", "a/b", true, true},
		{"a/b", "a/bc", false, false},
		{"*", "a/b/c", true, true},
		{"*", "", true, true},
		{"a/*", "a/b/c", true, true},
		{"a/*", "a/", true, true},
		{"a/*", "a", false, false},
		{"*/c", "a/b/c", true, true},
		{"a*c*e", "abcde", true, true},
		{"a*c*e", "abde", false, false},
		{"a/#", "a/#", true, true},
		{"a/#", "a/b", false, true},
		{"a/#", "a", false, true},
		{"a/#", "ab", false, false},
		{"a/+", "a/+", true, true},
		{"a/+", "a/b", false, true},
		{"a/+", "a/b/c", false, false},
		{"a/+", "a/#", false, true},
		{"+/+", "a/b", false, true},
		{"#", "a/b", false, true},
		{"*", "a/#", true, true},
		{"a/b", "a/#", false, false},
		{"a/${*}", "a/*", true, true},
		{"a/${*}", "a/b", false, false},
		{"a/${$}x", "a/$x", true, true},
		{"a/${x}", "a/${x}", true, true},
	}
	for _, test := range tests {
		if got := matchResource(test.pattern, test.resource, false); got != test.pubsub {
			t.Errorf("pubsub: policy %q, resource %q: got %v", test.pattern, test.resource, got)
		}
		if got := matchResource(test.pattern, test.resource, true); got != test.mqtt {
			t.Errorf("mqttproxy: policy %q, resource %q: got %v", test.pattern, test.resource, got)
		}
	}
}

func TestPolicyWithManyWildcardsIsMatchedQuickly(t *testing.T) {
	if matchResource(strings.Repeat("a*", 500)+"b", strings.Repeat("a", 5000), true) {
		t.Error("matched")
	}
}

func TestFiltersThatABrokerRefuses(t *testing.T) {
	for filter, want := range map[string]bool{
		"a": true, "a/+/b": true, "#": true, "a/#": true, "a/b/c/d/e/f/g/h": true,
		"": false, "a/#/b": false, "a+": false, "a/b#": false, "a/b/c/d/e/f/g/h/i": false, strings.Repeat("a", 257): false,
	} {
		if got := validFilter(filter); got != want {
			t.Errorf("%q: got %v", filter, got)
		}
	}
}

func TestNumbersTakeTheFormOfEachNucleus(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.0", "1": "1.0", "-2": "-2.0", "1.5": "1.5", "0.001": "0.001", "0.0001": "1.0E-4", "9999999": "9999999.0",
		"10000000": "1.0E7", "12345678.5": "1.23456785E7", "9007199254740993": "9.007199254740992E15",
	} {
		got, err := appendJSON(nil, javaNumbers(map[string]any{"n": json.Number(in)}))
		if err != nil || string(got) != `{"n":`+want+`}` {
			t.Errorf("classic, %s: got %s, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"1": "1", "1.5": "1.5000000000000000", "0.1": "0.10000000000000001", "1e2": "100.00000000000000", "123456789012345678": "123456789012345678",
		"1234567890123456789": "123456789012345678\x00",
	} {
		args := map[string]any{"n": json.Number(in)}
		if err := liteNumbers(args); err != nil {
			t.Errorf("lite, %s: %v", in, err)
		}
		v, err := liteIntegers(args)
		if err != nil {
			t.Errorf("lite, %s: %v", in, err)
		}
		if got, _ := appendJSON(nil, v); string(got) != `{"n":`+want+`}` {
			t.Errorf("lite, %s: got %q", in, got)
		}
	}
	if err := liteNumbers([]any{json.Number("18446744073709551615")}); err == nil {
		t.Error("lite took an integer beyond int64")
	}
	if _, err := liteIntegers(json.Number("-1234567890123456789")); err == nil {
		t.Error("lite wrote an integer of 20 characters")
	}
}
