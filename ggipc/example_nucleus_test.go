package ggipc_test

import (
	"context"
	"log"
	"os"
	"strings"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

// onNucleus starts a local nucleus and gives this process the environment that
// it gives the component. The function that it returns takes both back.
func onNucleus(component string) (stop func()) {
	allow := func(operations, resources []any) map[string]any {
		return map[string]any{component + ":example:1": map[string]any{"operations": operations, "resources": resources}}
	}
	n, err := nucleus.New(nucleus.Options{Components: []nucleus.Component{{
		Name: component,
		Configuration: map[string]any{
			"greeting": "good morning",
			"accessControl": map[string]any{
				"aws.greengrass.ipc.pubsub": allow(
					[]any{"aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"}, []any{"example/greetings", "example/questions", "example/answers"}),
			},
		},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	var names []string
	for _, variable := range n.Env(component) {
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value)
		names = append(names, name)
	}
	return func() {
		for _, name := range names {
			os.Unsetenv(name)
		}
		n.Close()
	}
}
