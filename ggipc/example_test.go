package ggipc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/brainseg/brainseg/ggipc"
)

// A component that answers requests of other components. A nucleus starts it and
// gives it socket and token; here a local nucleus plays that part.
func Example() {
	defer onNucleus("com.example.Greeter")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	client, err := ggipc.Connect(ctx, ggipc.Options{}) // socket and token from the environment
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	greetings := make(chan string, 1)
	_, err = client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: "example/greetings"},
		func(_ context.Context, m ggipc.TopicMessage) { greetings <- string(m.Bytes()) })
	if err != nil {
		log.Fatal(err)
	}
	if err := client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "example/greetings", Binary: []byte("good morning")}); err != nil {
		log.Fatal(err)
	}
	// From here on a deployment counts this component as working.
	if err := client.UpdateState(ctx, ggipc.StateRunning); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-greetings)
	// Output: good morning
}

// Who asks sends again until a reply comes: here the one who answers is late.
func ExampleClient_Ask() {
	defer onNucleus("com.example.Greeter")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	time.AfterFunc(50*time.Millisecond, func() { // another component, as a rule
		_, err := client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: "example/questions"}, func(ctx context.Context, m ggipc.TopicMessage) {
			for _, status := range []string{"accepted", "answered"} {
				reply := fmt.Sprintf(`{"id":"7","status":%q}`, status)
				if err := client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "example/answers", Binary: []byte(reply)}); err != nil {
					log.Print(err)
				}
			}
		})
		if err != nil {
			log.Print(err)
		}
	})
	answer, err := client.Ask(ctx, ggipc.AskRequest{
		Topic: "example/questions", Message: []byte(`{"id":"7","question":"how are you?"}`), ReplyTopic: "example/answers", Every: 20 * time.Millisecond,
		Classify: func(message []byte) ggipc.Reply {
			var reply struct{ ID, Status string }
			switch err := json.Unmarshal(message, &reply); {
			case err != nil || reply.ID != "7":
				return ggipc.ReplyNone
			case reply.Status == "accepted":
				return ggipc.ReplyAccepted
			}
			return ggipc.ReplyAnswer
		},
	})
	fmt.Println(string(answer), err)
	// Output: {"id":"7","status":"answered"} <nil>
}

// What a deployment configured, and what it changes later.
func ExampleClient_SubscribeToConfigurationUpdate() {
	defer onNucleus("com.example.Greeter")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// An event carries no value, and one deployment causes many: read anew.
	changed := make(chan struct{}, 1)
	_, err = client.SubscribeToConfigurationUpdate(ctx, "", nil, func(context.Context, ggipc.ConfigurationUpdate) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	before, err := client.GetConfiguration(ctx, "", "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(before.Value))

	update := ggipc.UpdateConfigurationRequest{Value: map[string]any{"greeting": "good evening"}}
	if err := client.UpdateConfiguration(ctx, update); err != nil {
		log.Fatal(err)
	}
	<-changed
	after, err := client.GetConfiguration(ctx, "", "greeting")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(after.Value))
	// Output:
	// {"greeting":"good morning"}
	// {"greeting":"good evening"}
}

// A refusal of the nucleus is an *Error with a code; this one says that the
// recipe's accessControl does not name the topic.
func ExampleHasCode() {
	defer onNucleus("com.example.Greeter")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	err = client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "somebody/else", Binary: []byte("hello")})
	fmt.Println(ggipc.HasCode(err, ggipc.CodeUnauthorized))

	_, err = client.GetConfiguration(ctx, "", "no", "such", "key")
	fmt.Println(ggipc.HasCode(err, ggipc.CodeResourceNotFound))
	// Output:
	// true
	// true
}

// A message that is too long is refused before anything is sent. MaxMessage
// tells what fits.
func ExampleMaxMessage() {
	defer onNucleus("com.example.Greeter")()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := ggipc.Connect(ctx, ggipc.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	const topic = "example/greetings"
	fits := make([]byte, ggipc.MaxMessage(0, topic))
	fmt.Println(client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: topic, Binary: fits}))

	var tooLarge *ggipc.FrameTooLargeError
	err = client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: topic, Binary: make([]byte, ggipc.DefaultMaxFrame)})
	fmt.Println(errors.As(err, &tooLarge))
	// Output:
	// <nil>
	// true
}

// A process that no nucleus started is told so at once.
func ExampleConnect() {
	_, err := ggipc.Connect(context.Background(), ggipc.Options{})
	if errors.Is(err, ggipc.ErrNotComponent) {
		fmt.Println("start me by a deployment")
	}
	// Output: start me by a deployment
}
