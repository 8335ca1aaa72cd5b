package greengrass

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

func TestThePageTellsOfRequestsOverIPCAndEndsWithTheComponent(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"http": map[string]any{"address": "127.0.0.1:0"}})
	d.launch()
	listening := d.logs.FilterMessage("HTTP endpoint is listening").All()
	if len(listening) != 1 {
		t.Fatalf("%d addresses are listened on", len(listening))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	get := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listening[0].ContextMap()["address"].(string)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s", path, answer.Status)
		}
		return answer
	}
	if kind := get("/").Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the page is %s", kind)
	}
	events := bufio.NewScanner(get("/page/activity").Body)
	d.ask(`{"id": "patient-7", "image": {"path": "/nowhere.png"}}`)
	seen := false
	for !seen && events.Scan() {
		document, isEvent := strings.CutPrefix(events.Text(), "data: ")
		if !isEvent {
			continue
		}
		var told struct {
			State  string
			Recent []struct{ Code string }
		}
		if err := json.Unmarshal([]byte(document), &told); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(document, "patient") || strings.Contains(document, "nowhere") {
			t.Errorf("pages are told %s", document)
		}
		seen = told.State == "ready" && len(told.Recent) == 1 && told.Recent[0].Code == "image_not_allowed"
	}
	if !seen {
		t.Errorf("the page was not told of the request: %v", events.Err())
	}
	d.stop()
	for events.Scan() {
	}
	if err := d.wait(); err != nil || events.Err() != nil {
		t.Errorf("the component ended with %v, the stream with %v", err, events.Err())
	}
}
