package queue

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/device/queue/crashmarks"
)

func open(t testing.TB, opts Options) *Queue {
	t.Helper()
	if opts.Folder == "" {
		opts.Folder = filepath.Join(memoryFolder(t), "queue")
	}
	q, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, q) })
	return q
}

func shut(t testing.TB, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := q.Close(ctx); err != nil {
		t.Error(err)
	}
}

// again closes a queue, or leaves it as a killed process would, and opens it.
func again(t testing.TB, q *Queue, killed bool) *Queue {
	t.Helper()
	opts := q.opts
	if killed {
		kill(t, q)
	} else {
		shut(t, q)
	}
	return open(t, opts)
}

// kill ends a queue without clearing the marks of what is in work.
func kill(t testing.TB, q *Queue) {
	t.Helper()
	marks, err := os.ReadFile(filepath.Join(q.opts.Folder, crashmarks.FileName))
	if err != nil {
		t.Fatal(err)
	}
	shut(t, q)
	if err := os.WriteFile(filepath.Join(q.opts.Folder, crashmarks.FileName), marks, 0o600); err != nil {
		t.Fatal(err)
	}
}

func request(id string) Request {
	return Request{ID: id, Way: "ipc", Document: []byte("document of " + id)}
}

func accept(t testing.TB, q *Queue, r Request) Receipt {
	t.Helper()
	receipt, err := q.Accept(t.Context(), r)
	if err != nil {
		t.Fatalf("accept %s: %v", r.ID, err)
	}
	return receipt
}

func next(t testing.TB, q *Queue) *Work {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := q.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func started(t testing.TB, q *Queue, w *Work) *Work {
	t.Helper()
	if err := q.Started(w.ID); err != nil {
		t.Fatal(err)
	}
	return w
}

func finish(t testing.TB, q *Queue, id, answer string, destinations ...string) {
	t.Helper()
	if err := q.Finish(t.Context(), id, []byte(answer), destinations...); err != nil {
		t.Fatalf("finish %s: %v", id, err)
	}
}

func deliveries(t testing.TB, q *Queue, destination string, limit int) []Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	list, err := q.Deliveries(ctx, destination, limit)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func delivered(t testing.TB, q *Queue, destination string, numbers ...uint64) {
	t.Helper()
	if err := q.Delivered(t.Context(), destination, numbers...); err != nil {
		t.Fatal(err)
	}
}

func ids(list []Delivery) (names []string) {
	for _, d := range list {
		names = append(names, d.ID)
	}
	return names
}
