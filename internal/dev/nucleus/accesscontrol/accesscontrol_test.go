package accesscontrol

import (
	"strings"
	"testing"
)

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
