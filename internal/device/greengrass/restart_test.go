package greengrass

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// restarts is how often a nucleus is restarted under load: make restarts makes 50.
var restarts = flag.Int("restarts", 2, "restarts of each kind of nucleus")

// supervise runs the component as a nucleus does: a process that ends with an
// error is replaced by one with a new token. It returns with which errors they did,
// when ctx ends.
func supervise(ctx context.Context, n *nucleus.Nucleus) (ends []error) {
	for {
		err := Run(ctx, Options{
			IPC:    ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(ComponentName)},
			Logger: zap.NewNop(),
		})
		if err == nil {
			return ends
		}
		ends = append(ends, err)
	}
}

// requester is another component that repeats a request, under the same id, until
// it is answered.
type requester struct {
	name     string
	nucleus  *nucleus.Nucleus
	client   *ggipc.Client // nil before the first, and where its token was refused
	results  *ggipc.Subscription
	answers  chan request.Result
	times    map[string]time.Time // of answers, by request
	repeated int
	twice    int // requests with two answers that are not the same
}

// subscribed has a living client that hears results.
func (r *requester) subscribed(ctx context.Context) error {
	if r.client != nil && r.client.Err() == nil {
		return nil
	}
	if r.client != nil {
		r.client.Close()
	}
	var err error
	r.client, err = ggipc.Connect(ctx, ggipc.Options{SocketPath: r.nucleus.SocketPath(), AuthToken: r.nucleus.Token(clientName), CallTimeout: time.Second})
	if err != nil {
		r.client = nil
		return err
	}
	r.results = nil
	return r.resubscribe(ctx)
}

// resubscribe hears results anew: the nucleus may have forgotten the subscription.
func (r *requester) resubscribe(ctx context.Context) error {
	next, err := r.client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: resultTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		var result request.Result
		if json.Unmarshal(m.Bytes(), &result) == nil && strings.HasPrefix(result.ID, r.name) {
			select {
			case r.answers <- result:
			default: // of a request that is answered
			}
		}
	})
	if err != nil {
		return err
	}
	if r.results != nil {
		r.results.Close()
	}
	r.results = next
	return nil
}

// ask repeats a request until it is answered, and returns false where ctx ends first.
func (r *requester) ask(ctx context.Context, id string) bool {
	document := []byte(fmt.Sprintf(`{"id":%q,"image":{"path":"a.png"}}`, id))
	for attempt := 0; ctx.Err() == nil; attempt++ {
		err := r.subscribed(ctx)
		if err == nil && attempt > 0 {
			r.repeated++
			err = r.resubscribe(ctx)
		}
		if err == nil {
			err = r.client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: document})
		}
		patience := time.After(200 * time.Millisecond)
		if err != nil {
			patience = time.After(50 * time.Millisecond) // the nucleus is away
		}
		for waiting := true; waiting; {
			select {
			case answer := <-r.answers:
				if first, again := r.times[answer.ID]; again && answer.Error == nil && !answer.Time.Equal(first) {
					r.twice++
				} else if answer.Error == nil {
					r.times[answer.ID] = answer.Time
				}
				switch {
				case answer.ID != id: // repeated, and late
				case answer.Error == nil:
					return true
				default:
					waiting = false // such as stopping
				}
			case <-patience:
				waiting = false
			case <-ctx.Done():
				waiting = false
			}
		}
	}
	return false
}

func (r *requester) close() {
	if r.client != nil {
		r.client.Close()
	}
}

// footprint is what this process has.
type footprint struct {
	goroutines, descriptors int
	resident                int64 // bytes
}

func takeFootprint(t *testing.T) (f footprint) {
	t.Helper()
	runtime.GC()
	f.goroutines = runtime.NumGoroutine()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	f.descriptors = len(entries)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f.resident = pages * int64(os.Getpagesize())
	return f
}

func TestOnlyOnNucleusLiteTheComponentTriesWhetherItHears(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, map[string]any{"ipc": map[string]any{"beatSeconds": 1}})
		proxy := newDeafNucleus(t, d.nucleus)
		d.socket = proxy.path
		d.launch()
		d.awaitStatus("Ready.")
		if profile == nucleus.Lite {
			until(t, "there is a beat", func() bool { return proxy.beats.Load() > 0 })
			d.configure(map[string]any{"ipc": map[string]any{"beatSeconds": 0}})
			d.awaitStatus("Ready.")
		}
		if r := d.ask(`no request`); r.Error == nil || proxy.beats.Load() > 0 && profile == nucleus.Classic {
			t.Errorf("%+v after %d beats", r, proxy.beats.Load())
		}
	})
}

func TestAChangeIsSeenThoughNucleusLiteHasForgottenToTellOfIt(t *testing.T) {
	t.Parallel()
	d := newDevice(t, nucleus.Lite, nil)
	d.look = 100 * time.Millisecond
	d.launch()
	d.awaitStatus("Ready.")
	if err := d.nucleus.ForgetConfigurationSubscriptions(); err != nil {
		t.Fatal(err)
	}
	d.configure(map[string]any{"images": map[string]any{"maxPixels": "many"}})
	d.awaitStatus("Error: the new configuration is not valid")
	d.configure(map[string]any{"images": map[string]any{"maxPixels": "100"}})
	if before := d.awaitStatus("Configuration changed."); len(before) > 0 {
		t.Errorf("what is not valid was told again: %q", before)
	}
	d.awaitStatus("Ready.")
}

func TestEveryRequestIsAnsweredHoweverOftenTheNucleusIsRestarted(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, map[string]any{"ipc": map[string]any{"beatSeconds": 1}})
		d.slice("a.png")
		ctx, stop := context.WithCancel(context.Background())
		component := make(chan []error, 1)
		go func() { component <- supervise(ctx, d.nucleus) }()

		const requesters = 4
		var load sync.WaitGroup
		var pause sync.RWMutex // held while the footprint is taken
		var answered, repeated, twice atomic.Int64
		for i := range requesters {
			load.Go(func() {
				r := requester{name: fmt.Sprintf("%d-", i), nucleus: d.nucleus, answers: make(chan request.Result, 16), times: make(map[string]time.Time)}
				defer r.close()
				for n := 0; ctx.Err() == nil; n++ {
					pause.RLock()
					if r.ask(ctx, fmt.Sprintf("%s%d", r.name, n)) {
						answered.Add(1)
					}
					pause.RUnlock()
				}
				repeated.Add(int64(r.repeated))
				twice.Add(int64(r.twice))
			})
		}
		// More answers than requests were under way.
		again := func(what string) time.Duration {
			begin, before := time.Now(), answered.Load()
			until(t, what, func() bool { return answered.Load() > before+max(2*requesters, int64(*restarts)) })
			return time.Since(begin)
		}
		again("requests are answered before the first restart")

		var before footprint
		var times []time.Duration
		for i := range *restarts {
			switch {
			case profile == nucleus.Lite && i%2 == 0:
				if err := errors.Join(d.nucleus.SetPubSub(false), d.nucleus.SetPubSub(true)); err != nil {
					t.Fatal(err)
				}
			default:
				if err := d.nucleus.Restart(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			times = append(times, again("requests are answered after a restart"))
			if i == *restarts/5 {
				pause.Lock()
				before = takeFootprint(t)
				pause.Unlock()
			}
		}
		pause.Lock()
		after := takeFootprint(t)
		pause.Unlock()
		stop()
		load.Wait()
		for _, err := range <-component {
			if !errors.Is(err, ggipc.ErrTokenRefused) && !errors.Is(err, ggipc.ErrConnectionLost) { // the latter while it started
				t.Errorf("the component ended with %v", err)
			}
		}
		if n := twice.Load(); n > 0 {
			t.Errorf("%d requests were worked on twice", n)
		}
		slices.Sort(times)
		t.Logf("%d restarts, %d requests answered, %d repetitions; answered again after p50 %v, at most %v; goroutines %d, then %d; descriptors %d, then %d; memory %d MB, then %d",
			*restarts, answered.Load(), repeated.Load(), times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond),
			before.goroutines, after.goroutines, before.descriptors, after.descriptors, before.resident>>20, after.resident>>20)
		// A read or a timer that is just ending is no growth; one left behind by each
		// restart is.
		if slack := 4 + *restarts/4; after.goroutines > before.goroutines+slack || after.descriptors > before.descriptors+slack {
			t.Error("goroutines or descriptors are left behind")
		}
		if after.resident > before.resident+before.resident/10+(16<<20) {
			t.Error("memory grows with every restart")
		}
	})
}
