package updates

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

func TestADeploymentIsPutOffForABoundedTimeAndOnlyWhileRequestsAreInWork(t *testing.T) {
	start := time.Now()
	var d deferral
	for _, step := range []struct {
		deployment string
		after      time.Duration
		busy       bool
		want       time.Duration
	}{
		{"a", 0, false, 0},
		{"b", time.Second, true, recheck},
		{"b", patience - 9*time.Second, true, 10 * time.Second},
		{"b", patience + time.Second, true, 0},
		{"b", patience + time.Minute, true, 0},
		{"c", patience + time.Minute, true, recheck}, // has a time of its own
		{"c", patience + 2*time.Minute, false, 0},
	} {
		if got := d.answer(step.deployment, start.Add(step.after), step.busy); got != step.want {
			t.Errorf("%s after %v: %v, want %v", step.deployment, step.after, got, step.want)
		}
	}
}

const component = "com.example.A"

// watch has the deployments of a local nucleus answered.
func watch(t *testing.T, profile nucleus.Profile, busy func() bool) (n *nucleus.Nucleus, logs *observer.ObservedLogs, lite bool) {
	t.Helper()
	n, err := nucleus.New(nucleus.Options{Profile: profile, Components: []nucleus.Component{{Name: component}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	client, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(component)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	core, logs := observer.New(zap.InfoLevel)
	lite, err = Watch(t.Context(), client, busy, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return n, logs, lite
}

func TestADeploymentGoesAheadOrWaitsForRequestsInWork(t *testing.T) {
	var busy atomic.Bool
	n, logs, lite := watch(t, nucleus.Classic, busy.Load)
	if lite {
		t.Error("it is taken for nucleus lite")
	}
	if err := n.BeginUpdate(t.Context(), "a"); err != nil || logs.Len() > 0 {
		t.Errorf("while nothing is in work: %v, %v", err, logs.All())
	}
	busy.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.BeginUpdate(ctx, "b") }()
	for end := time.Now().Add(time.Minute); logs.FilterMessageSnippet("put off").Len() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the deployment is not put off")
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the deployment that is put off ended with %v", err)
	}
}

func TestNucleusLiteIsKnownByAnnouncingNothing(t *testing.T) {
	if _, logs, lite := watch(t, nucleus.Lite, func() bool { return false }); !lite || logs.Len() > 0 {
		t.Errorf("nucleus lite: %t; logged: %v", lite, logs.All())
	}
}
