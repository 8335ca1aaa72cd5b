package nucleus

import (
	"strings"
	"testing"
)

// BenchmarkPublish measures a message from the publisher's request to both the
// answer and the subscriber's event.
func BenchmarkPublish(b *testing.B) {
	for _, p := range []Profile{Classic, Lite} {
		b.Run(p.String(), func(b *testing.B) {
			n := pair(b, Options{Profile: p})
			publisher, subscriber := connect(b, n, "com.example.A"), connect(b, n, "com.example.B")
			subscriber.succeed("SubscribeToTopic", `{"topic":"t"}`)
			message := publish("t", `"binaryMessage":{"message":"`+strings.Repeat("AAAA", 256)+`"}`)
			for b.Loop() {
				publisher.succeed("PublishToTopic", message)
				subscriber.read()
			}
		})
	}
}
