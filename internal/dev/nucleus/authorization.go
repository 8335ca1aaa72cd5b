package nucleus

import (
	"slices"
	"strings"
)

// Services of accessControl.
const (
	pubsubService = "aws.greengrass.ipc.pubsub"
	mqttService   = "aws.greengrass.ipc.mqttproxy"
)

// authorize holds a request to the accessControl of its component. Nothing is
// allowed that no policy allows.
func (r *request) authorize(service, resource string) error {
	if r.allowed(service, resource) {
		return nil
	}
	if r.n.profile == Lite {
		return &refusal{code: codeUnauthorized, message: "IPC Operation not authorized."}
	}
	return &refusal{
		code:    codeUnauthorized,
		message: "Principal is not authorized to perform " + service + ":" + modelPrefix + r.operation,
	}
}

func (r *request) allowed(service, resource string) bool {
	if strings.Contains(resource, "?") {
		return false // reserved for a wildcard of policies
	}
	policies, _ := r.component.config.find([]string{"accessControl", service})
	byID, _ := policies.(map[string]any)
	for _, policy := range byID {
		policy, _ := policy.(map[string]any)
		operations, _ := policy["operations"].([]any)
		resources, _ := policy["resources"].([]any)
		if !slices.Contains(operations, any("*")) && !slices.Contains(operations, any(modelPrefix+r.operation)) {
			continue
		}
		for _, pattern := range resources {
			pattern, ok := pattern.(string)
			if !ok {
				continue
			}
			pattern = strings.ReplaceAll(pattern, "{iot:thingName}", r.n.thingName)
			if matchResource(pattern, resource, service == mqttService) {
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

// tokenValidators may ask whether a token is good: it is a service for AWS' own
// components.
var tokenValidators = []string{"aws.greengrass.StreamManager"}

func validateAuthorizationToken(r *request) (map[string]any, error) {
	token, present, err := r.text("token")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(tokenValidators, r.component.name) {
		message := r.component.name + " is not authorized to perform " + modelPrefix + r.operation
		if r.n.profile == Lite {
			message = "Component does not have access to token verification IPC command."
		}
		return nil, &refusal{code: codeUnauthorized, message: message}
	}
	if _, ok := r.n.tokens[token]; !ok || !present {
		message := "Unable to authenticate given token"
		if r.n.profile == Lite {
			message = "Invalid token used by stream manager when trying to authorize."
		}
		return nil, &refusal{code: codeInvalidToken, message: message}
	}
	return map[string]any{"isValid": true}, nil
}
