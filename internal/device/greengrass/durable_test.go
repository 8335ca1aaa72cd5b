package greengrass

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// documents collects the results as they are published.
func (d *device) documents() <-chan []byte {
	d.t.Helper()
	documents := make(chan []byte, 100)
	_, err := d.client.SubscribeToTopic(d.t.Context(), ggipc.SubscribeToTopicRequest{Topic: resultTopic}, func(ctx context.Context, m ggipc.TopicMessage) {
		select {
		case documents <- bytes.Clone(m.Bytes()):
		case <-ctx.Done():
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return documents
}

func TestARequestThatRepeatsGetsTheStoredAnswer(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil)
	d.slice("a.png")
	d.launch()
	documents := d.documents()
	d.publish(`{"id":"a","image":{"path":"a.png"},"output":{"overlay":true}}`)
	first := next(t, documents)
	if r := next(t, d.results); r.Error != nil || r.Attempt != 1 {
		t.Fatalf("result: %+v, error %+v", r, r.Error)
	}
	if err := os.Remove(filepath.Join(d.in, "a.png")); err != nil { // it is not read again
		t.Fatal(err)
	}
	for i, document := range []string{
		`{"id":"a","image":{"path":"a.png"},"output":{"overlay":true}}`,
		`{ "output": {"overlay": true, "inline": false}, "image": {"path": "\u0061.png"}, "acknowledge": true, "id": "a" }`, // the same, otherwise written
		`{"id":"a","image":{"path":"a.png"},"output":{"overlay":true}}`,
	} {
		if i == 2 {
			d.stop()
			if err := d.wait(); err != nil {
				t.Fatal(err)
			}
			d.launch()
		}
		d.publish(document)
		if again := next(t, documents); !bytes.Equal(again, request.WithAttempt(first, 2)) {
			t.Errorf("repetition %d got\n%s, and the first answer was\n%s", i+1, again, first)
		}
	}
}

func TestAnotherRequestOfAnIDIsAConflict(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	if r := d.ask(`{"id":"a","image":{"path":"a.png"}}`); r.Error != nil {
		t.Fatalf("error %+v", r.Error)
	}
	for _, other := range []string{`{"id":"a","image":{"path":"b.png"}}`, `{"id":"a","image":{"path":"a.png"},"output":{"overlay":true}}`, `{"id":"a","image":{"base64":"aGVsbG8="}}`} {
		if r := d.ask(other); r.Error == nil || r.Error.Code != request.CodeConflict || r.ID != "a" {
			t.Errorf("%s: %+v", other, r)
		}
	}
}

func TestARequestThatAsksForItIsAcknowledged(t *testing.T) {
	for _, folder := range []string{"on disk", ""} {
		t.Run("folder "+folder, func(t *testing.T) {
			change := map[string]any{}
			if folder == "" {
				change["queue"] = map[string]any{"folder": ""}
			}
			d := newDevice(t, nucleus.Classic, change)
			d.slice("a.png")
			d.launch()
			d.publish(`{"id":"a","image":{"path":"a.png"},"acknowledge":true}`)
			seen := map[string]int{}
			for range 2 {
				r := next(t, d.results)
				if r.ID != "a" || r.Time.IsZero() {
					t.Errorf("%+v", r)
				}
				seen[r.Status]++
			}
			if seen[request.StatusAccepted] != 1 || seen[request.StatusSucceeded] != 1 {
				t.Errorf("answers: %v", seen)
			}
			if r := d.ask(`{"id":"b","image":{"path":"a.png"}}`); r.Status != request.StatusSucceeded {
				t.Errorf("unasked: %+v", r)
			}
		})
	}
}

func TestRequestsWithoutAnIDAreDifferentOnes(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.launch()
	for range 2 {
		if r := d.ask(`{"bucket":"bucket","prefix":"in/k.png"}`); r.ID != "" || r.Attempt != 1 || r.Error == nil || r.Error.Code != request.CodeImageNotAllowed {
			t.Errorf("%+v, error %+v", r, r.Error)
		}
	}
}

func TestADamagedQueueIsSetAsideAndTold(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "queue")
	d := newDevice(t, nucleus.Classic, map[string]any{"queue": map[string]any{"folder": folder}})
	d.slice("a.png")
	d.launch()
	d.ask(`{"id":"a","image":{"path":"a.png"}}`)
	d.stop()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "queue.db")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content { // nothing of it can be read
		content[i] ^= 0xff
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	d.launch()
	d.awaitStatus("Error: the queue was damaged and is set aside; requests that waited in it must be sent again.")
	if r := d.ask(`{"id":"a","image":{"path":"a.png"}}`); r.Error != nil || r.Attempt != 1 {
		t.Errorf("%+v, error %+v", r, r.Error)
	}
	if kept, err := filepath.Glob(file + ".damaged-*"); err != nil || len(kept) != 1 {
		t.Errorf("kept: %v, %v", kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
