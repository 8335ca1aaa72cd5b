package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// disks are where the queue is measured: in memory, so that what it costs itself
// is seen, and on the disk of the temporary folder.
func disks(b *testing.B, run func(b *testing.B, folder string)) {
	b.Run("memory", func(b *testing.B) { run(b, memoryFolder(b)) })
	b.Run("disk", func(b *testing.B) { run(b, b.TempDir()) })
}

// BenchmarkAccept is a lone request, beside the syncs that it cannot do without.
func BenchmarkAccept(b *testing.B) {
	disks(b, func(b *testing.B, folder string) {
		q := open(b, Options{Folder: filepath.Join(folder, "queue"), MaxRequests: 1 << 30, MaxBytes: 1 << 40})
		raw, err := os.Create(filepath.Join(folder, "raw"))
		if err != nil {
			b.Fatal(err)
		}
		defer raw.Close()
		r := request("a")
		r.Document = make([]byte, 200)
		var whole, syncs []time.Duration
		for i := 0; b.Loop(); i++ {
			r.ID = strconv.Itoa(i)
			start := time.Now()
			accept(b, q, r)
			whole = append(whole, time.Since(start))
			start = time.Now()
			for _, pages := range []int{3, 1} { // what a transaction writes, in two turns
				if _, err := raw.WriteAt(make([]byte, pages*boltfile.PageSize), int64(pages-1)*boltfile.PageSize); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fdatasync(int(raw.Fd())); err != nil {
					b.Fatal(err)
				}
			}
			syncs = append(syncs, time.Since(start))
		}
		b.ReportMetric(median(whole), "p50-ms")
		b.ReportMetric(median(syncs), "syncs-p50-ms")
		b.ReportMetric(median(whole)-median(syncs), "beyond-ms")
	})
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Microseconds()) / 1000
}

// written is what this process has written by system calls.
func written(b *testing.B) int {
	content, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := bytes.Cut(content, []byte("wchar: "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.Atoi(string(line))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkWear counts the bytes that a request writes in its life: stored,
// answered, delivered, and forgotten in the end.
func BenchmarkWear(b *testing.B) {
	for _, c := range []struct {
		name         string
		image, burst int
	}{{"lone", 0, 1}, {"lone with an image of 40 kB", 40_000, 1}, {"bursts of 16", 0, 16}} {
		b.Run(c.name, func(b *testing.B) {
			q := open(b, Options{MaxAnswers: 1000})
			life := func(i int) {
				var all sync.WaitGroup
				for j := range c.burst {
					all.Go(func() {
						r := Request{ID: fmt.Sprintf("%d-%d", i, j), Way: "ipc", Document: make([]byte, 200), Image: make([]byte, c.image)}
						accept(b, q, r)
						finish(b, q, next(b, q).ID, string(make([]byte, 700)), "ipc")
					})
				}
				all.Wait()
				var numbers []uint64
				for _, d := range deliveries(b, q, "ipc", c.burst) {
					numbers = append(numbers, d.Number)
				}
				delivered(b, q, "ipc", numbers...)
			}
			for i := range 1200 / c.burst { // until answers are forgotten too
				life(-1 - i)
			}
			before, n := written(b), 0
			for b.Loop() {
				life(n)
				n++
			}
			b.ReportMetric(float64(written(b)-before)/float64(n*c.burst)/1024, "KiB/request")
		})
	}
}

// BenchmarkThroughput has 16 requesters, each waiting for its answer, and two
// workers; the queue in memory and on a disk, beside a channel in its place. They
// take turns, since the machine is not always as fast.
func BenchmarkThroughput(b *testing.B) {
	for _, slice := range []time.Duration{10 * time.Millisecond, 0} {
		b.Run(fmt.Sprintf("slice of %v", slice), func(b *testing.B) {
			queues := []served{channelQueue(), durableQueue(b, memoryFolder(b)), durableQueue(b, b.TempDir())}
			names := []string{"channel/s", "memory/s", "disk/s"}
			const requests = 64
			took := make([]time.Duration, len(queues))
			rounds := 0
			for b.Loop() {
				for i := range queues {
					i = (i + rounds) % len(queues)
					took[i] += throughput(b, slice, queues[i], rounds*requests, requests)
				}
				rounds++
			}
			for i, name := range names {
				b.ReportMetric(float64(rounds*requests)/took[i].Seconds(), name)
			}
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "memory/channel")
			b.ReportMetric(took[0].Seconds()/took[2].Seconds(), "disk/channel")
		})
	}
}

// served is a queue as a requester and a worker see it.
type served struct {
	ask   func(id string)                                     // returns with the answer
	serve func(ctx context.Context, slice time.Duration) bool // one request
}

// throughput is the time that n requests, counted from first, take.
func throughput(b *testing.B, slice time.Duration, s served, first, n int) time.Duration {
	ctx, cancel := context.WithCancel(b.Context())
	var workers, requesters sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for s.serve(ctx, slice) {
			}
		})
	}
	var taken atomic.Int64
	start := time.Now()
	for range 16 {
		requesters.Go(func() {
			for i := taken.Add(1); i <= int64(n); i = taken.Add(1) {
				s.ask(strconv.Itoa(first + int(i)))
			}
		})
	}
	requesters.Wait()
	took := time.Since(start)
	cancel()
	workers.Wait()
	return took
}

// workOn is what segmentation costs: the processor, not only time.
func workOn(slice time.Duration) {
	for end := time.Now().Add(slice); time.Now().Before(end); {
	}
}

func channelQueue() served {
	type job struct{ done chan []byte }
	jobs := make(chan job, 64)
	return served{
		ask: func(string) {
			j := job{make(chan []byte, 1)}
			jobs <- j
			<-j.done
		},
		serve: func(ctx context.Context, slice time.Duration) bool {
			select {
			case j := <-jobs:
				workOn(slice)
				j.done <- make([]byte, 700)
				return true
			case <-ctx.Done():
				return false
			}
		},
	}
}

func durableQueue(b *testing.B, folder string) served {
	q := open(b, Options{Folder: filepath.Join(folder, "queue"), MaxAnswers: 1000})
	var waiting sync.Map
	places := make(chan struct{}, 8)
	go func() {
		for {
			list, err := q.Deliveries(context.Background(), "ipc", 64)
			if err != nil {
				return
			}
			numbers := make([]uint64, len(list))
			for i, d := range list {
				numbers[i] = d.Number
				if done, ok := waiting.LoadAndDelete(d.ID); ok {
					close(done.(chan struct{}))
				}
			}
			if q.Delivered(context.Background(), "ipc", numbers...) != nil {
				return
			}
		}
	}()
	return served{
		ask: func(id string) {
			done := make(chan struct{})
			waiting.Store(id, done)
			accept(b, q, Request{ID: id, Way: "ipc", Document: make([]byte, 200)})
			<-done
		},
		serve: func(ctx context.Context, slice time.Duration) bool {
			w, err := q.Next(ctx)
			if err != nil {
				return false
			}
			workOn(slice)
			// The disk is not waited for: the answer goes out once it is stored.
			places <- struct{}{}
			go func() {
				defer func() { <-places }()
				finish(b, q, w.ID, string(make([]byte, 700)), "ipc")
			}()
			return true
		},
	}
}
