package topicfilter

import (
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
		if got := MatchClassic(test.filter, test.topic); got != test.classic {
			t.Errorf("classic: filter %q, topic %q: got %v", test.filter, test.topic, got)
		}
		if got := MatchMQTT(test.filter, test.topic); got != test.lite {
			t.Errorf("lite: filter %q, topic %q: got %v", test.filter, test.topic, got)
		}
	}
}

func TestFiltersThatABrokerRefuses(t *testing.T) {
	for filter, want := range map[string]bool{
		"a": true, "a/+/b": true, "#": true, "a/#": true, "a/b/c/d/e/f/g/h": true,
		"": false, "a/#/b": false, "a+": false, "a/b#": false, "a/b/c/d/e/f/g/h/i": false, strings.Repeat("a", 257): false,
	} {
		if got := Valid(filter); got != want {
			t.Errorf("%q: got %v", filter, got)
		}
	}
}
