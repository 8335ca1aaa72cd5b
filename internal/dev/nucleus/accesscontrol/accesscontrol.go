// Package accesscontrol decides what the policies of a component, accessControl in
// its recipe, allow it to do, by the wildcards of each service.
//
// It keeps no policies and refuses nothing: the local nucleus asks it before it
// performs an operation on a topic.
package accesscontrol

import (
	"slices"
	"strings"
)

// Services that policies are for.
const (
	PubSub = "aws.greengrass.ipc.pubsub"
	MQTT   = "aws.greengrass.ipc.mqttproxy"
)

// Use is what a component wants to do: an operation of a service, with the prefix
// of the service model, on a topic or a filter of topics.
type Use struct{ Service, Operation, Resource string }

// Allowed reports whether the policies of a component, accessControl in its
// configuration, allow a use. Nothing is allowed that no policy allows.
func Allowed(accessControl any, thingName string, use Use) bool {
	if strings.Contains(use.Resource, "?") {
		return false // reserved for a wildcard of policies
	}
	services, _ := accessControl.(map[string]any)
	byID, _ := services[use.Service].(map[string]any)
	for _, policy := range byID {
		policy, _ := policy.(map[string]any)
		operations, _ := policy["operations"].([]any)
		resources, _ := policy["resources"].([]any)
		if !slices.Contains(operations, any("*")) && !slices.Contains(operations, any(use.Operation)) {
			continue
		}
		for _, pattern := range resources {
			pattern, ok := pattern.(string)
			if !ok {
				continue
			}
			pattern = strings.ReplaceAll(pattern, "{iot:thingName}", thingName)
			if matchResource(pattern, use.Resource, use.Service == MQTT) {
				return true
			}
		}
	}
	return false
}

// matchResource reports whether a resource of a policy covers the requested
// one. In every service * stands for any text, slashes included, and ${*} ${?}
// ${$} for the sign itself; where mqtt is set + and # are wildcards as well.
func matchResource(pattern, resource string, mqtt bool) bool {
	if !mqtt {
		return matchText(patternTokens(pattern), resource)
	}
	// A level of + is any text without a slash, a final level of # the rest.
	if rest, ok := strings.CutSuffix(pattern, "/#"); ok {
		if matchMQTTResource(rest, resource) {
			return true // a/# covers a
		}
	}
	return matchMQTTResource(pattern, resource)
}

// A token is a literal byte or one of the wildcards below.
const (
	anyText  = -1
	anyLevel = -2
)

// patternTokens reads a pattern whose only wildcard is *.
func patternTokens(pattern string) []int {
	var tokens []int
	for i := 0; i < len(pattern); i++ {
		if len(pattern)-i >= 4 && pattern[i:i+2] == "${" && pattern[i+3] == '}' && strings.IndexByte("*?$", pattern[i+2]) >= 0 {
			tokens = append(tokens, int(pattern[i+2]))
			i += 3
			continue
		}
		if pattern[i] == '*' {
			tokens = append(tokens, anyText)
			continue
		}
		tokens = append(tokens, int(pattern[i]))
	}
	return tokens
}

// matchMQTTResource reads + and # on whole levels as wildcards too.
func matchMQTTResource(pattern, resource string) bool {
	var tokens []int
	levels := strings.Split(pattern, "/")
	for i, level := range levels {
		if i > 0 {
			tokens = append(tokens, '/')
		}
		switch {
		case level == "+":
			tokens = append(tokens, anyLevel)
		case level == "#" && i == len(levels)-1:
			tokens = append(tokens, anyText)
		default:
			tokens = append(tokens, patternTokens(level)...)
		}
	}
	return matchText(tokens, resource)
}

// matchText matches in time proportional to the product of the lengths.
func matchText(tokens []int, text string) bool {
	reached := make([]bool, len(tokens)+1) // by how many tokens the text so far can be covered
	reached[0] = true
	spread := func() {
		for i, token := range tokens {
			if reached[i] && token < 0 {
				reached[i+1] = true // a wildcard may stand for nothing
			}
		}
	}
	spread()
	for i := 0; i < len(text); i++ {
		next := make([]bool, len(reached))
		for j, token := range tokens {
			if !reached[j] {
				continue
			}
			switch {
			case token == anyText || token == anyLevel && text[i] != '/':
				next[j] = true
			case token == int(text[i]):
				next[j+1] = true
			}
		}
		reached = next
		spread()
	}
	return reached[len(tokens)]
}
