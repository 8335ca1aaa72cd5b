package queue

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"
)

var undelivered = flag.Int("undelivered", 3000, "how many answers wait in the outbox test")

// Three days without a network: answers pile up, the process starts anew twice,
// the network comes back and is lost again. The figures are printed; how long
// things take is no matter of right and wrong on a busy machine.
func TestAnswersWaitForDaysAndArriveOnceInOrder(t *testing.T) {
	n := *undelivered
	q := open(t, Options{Folder: filepath.Join(memoryFolder(t), "queue"), MaxAnswers: 2*n + 1000})
	idle := resident(t)
	for life := range 3 {
		var requesters sync.WaitGroup
		for i := range 16 {
			requesters.Go(func() {
				for j := life*n/3 + i; j < (life+1)*n/3; j += 16 {
					id := fmt.Sprintf("%07d", j)
					accept(t, q, Request{ID: id, Way: "ipc", Document: make([]byte, 200)})
					finish(t, q, id, id+string(make([]byte, 450)), "cloud")
				}
			})
		}
		requesters.Wait()
		if life < 2 {
			old := q
			q = again(t, q, life == 0)
			old.answers = nil // as after the end of its process
		}
	}
	shut(t, q)
	q.answers = nil
	start := time.Now()
	q = open(t, q.opts)
	took := time.Since(start)
	if got := q.Stats().Pending["cloud"]; got != n {
		t.Fatalf("%d of %d answers wait", got, n)
	}
	grown := resident(t) - idle

	seen := 0
	last, highest := uint64(0), 0
	start = time.Now()
	for q.Stats().Pending["cloud"] > 0 {
		var numbers []uint64
		for _, d := range deliveries(t, q, "cloud", 256) {
			if d.Number <= last || string(d.Answer[:7]) != d.ID {
				t.Fatalf("%s comes again, out of order or as another", d.ID)
			}
			last = d.Number
			seen++
			numbers = append(numbers, d.Number)
		}
		delivered(t, q, "cloud", numbers...)
		highest = max(highest, resident(t)-idle)
	}
	drain := float64(n) / time.Since(start).Seconds()
	if seen != n {
		t.Errorf("%d of %d arrived", seen, n)
	}
	t.Logf("%d answers: open in %v, %.1f MB more memory then, %.1f MB at most while %.0f a second are delivered",
		n, took.Round(time.Millisecond), float64(grown)/1e6, float64(highest)/1e6, drain)
}

// resident is the memory of this process in bytes.
func resident(t testing.TB) int {
	t.Helper()
	debug.FreeOSMemory()
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := bytes.Cut(content, []byte("VmRSS:"))
	n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n * 1024
}

// BenchmarkOpen is a start with a full outbox.
func BenchmarkOpen(b *testing.B) {
	q := open(b, Options{})
	var requesters sync.WaitGroup
	for i := range 16 {
		requesters.Go(func() {
			for j := i; j < 50_000; j += 16 {
				id := fmt.Sprintf("%07d", j)
				accept(b, q, Request{ID: id, Way: "ipc", Document: make([]byte, 200)})
				finish(b, q, id, id+string(make([]byte, 450)), "cloud")
			}
		})
	}
	requesters.Wait()
	shut(b, q)
	for b.Loop() {
		again, err := Open(b.Context(), q.opts)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		shut(b, again)
		b.StartTimer()
	}
}
