package listener

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// slowly opens connections that never come to an end with their requests: some with
// their headers, some with their bodies. It opens another where one is cut.
func slowly(t *testing.T, address string, n int, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for {
				c, err := net.DialTimeout("tcp", address, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				begin := "POST / HTTP/1.1\r\nHost: localhost\r\nX: "
				if i%2 == 0 {
					begin = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
				}
				io.WriteString(c, begin)
				tick := time.NewTicker(100 * time.Millisecond)
				for open := true; open; {
					select {
					case <-tick.C:
						_, err := c.Write([]byte("x"))
						open = err == nil
					case <-stop:
						tick.Stop()
						c.Close()
						return
					}
				}
				tick.Stop()
				c.Close()
			}
		})
	}
	return &all
}

func TestGoodClientsAreServedBesideManySlowOnes(t *testing.T) {
	const queue = 32
	body := picture
	c := start(t, func(c *config.Config) {
		c.Service.Queue, c.HTTP.Requests = queue, 0
		if *floodModel == "" {
			return
		}
		c.Model.Path = *floodModel
		var err error
		if body, err = os.ReadFile(filepath.Join("..", "..", "..", "artifacts", "samples", "whole-head", "axial-085.png")); err != nil {
			t.Fatal(err)
		}
	})
	stop := make(chan struct{})
	slow := slowly(t, c.Addr(), *floodSlow, stop)
	c.client.Transport.(*http.Transport).MaxIdleConnsPerHost = *floodClients
	var (
		good         sync.WaitGroup
		served, busy atomic.Int64
		closed       atomic.Int64
		mu           sync.Mutex
		times        []time.Duration
	)
	began := time.Now()
	deadline := began.Add(*floodTime)
	for range *floodClients {
		good.Go(func() {
			for time.Now().Before(deadline) {
				asked := time.Now()
				answer, err := c.client.Post(c.url(), "image/png", bytes.NewReader(body))
				if errors.Is(err, io.EOF) {
					closed.Add(1) // between two requests, as HTTP allows: asked again
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				switch answer.StatusCode {
				case http.StatusOK:
					served.Add(1)
					mu.Lock()
					times = append(times, time.Since(asked))
					mu.Unlock()
				case http.StatusTooManyRequests:
					busy.Add(1)
					if *floodModel != "" {
						time.Sleep(100 * time.Millisecond) // less than Retry-After says
					}
				default:
					t.Errorf("got %s", answer.Status)
				}
			}
		})
	}
	good.Wait()
	took := time.Since(began)
	close(stop)
	slow.Wait()
	if served.Load() == 0 {
		t.Fatal("nothing was served")
	}
	if n := closed.Load(); 100*n > served.Load()+busy.Load() {
		t.Errorf("%d connections of good clients made room", n)
	}
	slices.Sort(times)
	worth := took / time.Duration(served.Load()) * (queue + 1)
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(strings.TrimSpace(peak), "\n")
	t.Logf("%d served, %d busy; p50 %s, p99 %s, the queue is worth %s; peak memory of service and clients %s", served.Load(), busy.Load(),
		times[len(times)/2].Round(time.Millisecond), times[len(times)*99/100].Round(time.Millisecond), worth.Round(time.Millisecond), peak)
}

// BenchmarkOverhead is what the way over HTTP costs beyond the engine's own time,
// for one client that keeps its connection.
func BenchmarkOverhead(b *testing.B) {
	c := start(b, func(c *config.Config) { c.HTTP.Requests = 0 })
	var direct, over []time.Duration
	answers := make(chan error, 1)
	for b.Loop() {
		began := time.Now()
		c.engine.Submit(b.Context(), job.Requester{Way: job.WayHTTP}, request.Request{ID: rand.Text(), Image: request.Image{Inline: bytes.Clone(picture)}, Output: request.Output{Discard: true}},
			func(o job.Outcome) {
				if o.Result.Error != nil {
					answers <- errors.New(o.Result.Error.Message)
				} else {
					answers <- nil
				}
			})
		if err := <-answers; err != nil {
			b.Fatal(err)
		}
		direct = append(direct, time.Since(began))
		began = time.Now()
		if status := c.post(b); status != http.StatusOK {
			b.Fatalf("got %d", status)
		}
		over = append(over, time.Since(began))
	}
	slices.Sort(direct)
	slices.Sort(over)
	half := len(over) / 2
	b.ReportMetric(float64(over[half]-direct[half])/1e6, "ms-more-p50")
	b.ReportMetric(float64(direct[half])/1e6, "ms-engine-p50")
}
