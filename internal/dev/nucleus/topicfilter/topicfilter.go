// Package topicfilter says which topics a filter covers, for AWS IoT Core and for
// the local topics of both nuclei, which differ, and what a broker takes at all.
//
// It knows nothing of policies, see package accesscontrol. The local nucleus calls
// it wherever it passes on a message.
package topicfilter

import (
	"strings"

	"github.com/brainseg/brainseg/ggipc"
)

// MatchMQTT reports whether an MQTT filter covers a topic: + stands for one
// level, a final # for the rest, including none.
func MatchMQTT(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	return matchLevels(strings.Split(filter, "/"), strings.Split(topic, "/"), true)
}

// MatchClassic reports whether a filter of local topics covers a topic as the
// classic nucleus sees it; nucleus lite takes them for those of MQTT. The classic
// trie splits without the empty levels at the end, lets # cover one level or more
// but not none, and does not single out topics with $.
func MatchClassic(filter, topic string) bool {
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

// HasWildcard reports whether a filter has a wildcard on a whole level.
func HasWildcard(filter string) bool {
	for _, level := range strings.Split(filter, "/") {
		if level == "+" || level == "#" {
			return true
		}
	}
	return false
}

// Valid reports whether an MQTT broker would take a filter: wildcards
// only on whole levels, # only at the end, at most 256 bytes and 8 levels.
func Valid(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if level == "#" && i < len(levels)-1 || len(level) > 1 && strings.ContainsAny(level, "+#") {
			return false
		}
	}
	return WithinIoTCoreLimits(filter)
}

// WithinIoTCoreLimits reports whether AWS IoT Core takes a topic of that length
// and depth.
func WithinIoTCoreLimits(topic string) bool {
	return topic != "" && len(topic) <= ggipc.MaxTopic && strings.Count(topic, "/") <= 7
}
