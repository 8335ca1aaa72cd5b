package nucleus

import (
	"strings"

	"github.com/brainseg/brainseg/ggipc"
)

// matchMQTT reports whether an MQTT filter covers a topic: + stands for one
// level, a final # for the rest, including none.
func matchMQTT(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	return matchLevels(strings.Split(filter, "/"), strings.Split(topic, "/"), true)
}

// matchLocal reports whether the filter of a local subscription covers a topic
// as the profile sees it.
func matchLocal(profile Profile, filter, topic string) bool {
	if profile == Lite {
		return matchMQTT(filter, topic)
	}
	// The classic trie splits without the empty levels at the end, lets # cover
	// one level or more but not none, and does not single out topics with $.
	return matchLevels(splitJava(filter), splitJava(topic), false)
}

// splitJava splits at slashes and drops empty levels at the end.
func splitJava(s string) []string {
	levels := strings.Split(s, "/")
	for len(levels) > 0 && levels[len(levels)-1] == "" {
		levels = levels[:len(levels)-1]
	}
	return levels
}

func matchLevels(filter, topic []string, hashMatchesNone bool) bool {
	for i, level := range filter {
		switch {
		case level == "#" && i == len(filter)-1:
			return hashMatchesNone || len(topic) > i
		case i >= len(topic):
			return false
		case level != "+" && level != topic[i]:
			return false
		}
	}
	return len(filter) == len(topic)
}

// hasWildcard reports whether a filter has a wildcard on a whole level.
func hasWildcard(filter string) bool {
	for _, level := range strings.Split(filter, "/") {
		if level == "+" || level == "#" {
			return true
		}
	}
	return false
}

// validFilter reports whether an MQTT broker would take a filter: wildcards
// only on whole levels, # only at the end, at most 256 bytes and 8 levels.
func validFilter(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if level == "#" && i < len(levels)-1 || len(level) > 1 && strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return withinIoTCoreLimits(filter)
}

// withinIoTCoreLimits reports whether AWS IoT Core takes a topic of that length
// and depth.
func withinIoTCoreLimits(topic string) bool {
	return topic != "" && len(topic) <= ggipc.MaxTopic && strings.Count(topic, "/") <= 7
}
