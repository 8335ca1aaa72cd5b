package greengrass

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/request"
)

var resultsToIoTCore = map[string]any{"results": true}

// cloudResult waits for the next answer in AWS IoT Core.
func (d *device) cloudResult() request.Result {
	d.t.Helper()
	for {
		m := next(d.t, d.cloud)
		if m.Topic != resultTopic {
			continue
		}
		r, err := request.ParseResult(m.Payload)
		if err != nil {
			d.t.Fatal(err)
		}
		return r
	}
}

func TestAnswersGoToIoTCoreWhereTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, map[string]any{"iotcore": map[string]any{"results": "true"}})
		d.slice("a.png")
		d.launch()
		for _, id := range []string{"a", "b"} {
			on := d.ask(fmt.Sprintf(`{"id":%q,"image":{"path":"%s.png"}}`, id, id))
			up := d.cloudResult()
			if diff := cmp.Diff(on, up); diff != "" || (up.Error != nil) != (id == "b") {
				t.Errorf("(-on the device +in IoT Core):\n%s", diff)
			}
		}
		d.configure(map[string]any{"iotcore": map[string]any{"results": "false"}})
		d.awaitStatus("Configuration changed.")
		until(t, "it is in effect", func() bool { return d.logs.FilterMessage("configuration applied").Len() > 0 })
		d.ask(`{"id":"c","image":{"path":"a.png"}}`)
		d.configure(map[string]any{"iotcore": map[string]any{"results": "true"}})
		until(t, "it is in effect again", func() bool { return d.logs.FilterMessage("configuration applied").Len() > 1 })
		d.ask(`{"id":"d","image":{"path":"a.png"}}`)
		if r := d.cloudResult(); r.ID != "d" {
			t.Errorf("%s is in IoT Core", r.ID)
		}
	})
}

func TestAnswersAndStatusWaitForIoTCoreOverARestart(t *testing.T) {
	t.Parallel()
	d := newDevice(t, nucleus.Lite, map[string]any{"iotcore": resultsToIoTCore}) // which spools nothing
	d.slice("a.png")
	d.nucleus.SetOnline(false)
	for life := range 2 {
		d.launch()
		for i := range 5 {
			if r := d.ask(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, 5*life+i)); r.Error != nil {
				t.Fatalf("%+v", r.Error)
			}
		}
		d.stop()
		if err := d.wait(); err != nil {
			t.Fatal(err)
		}
	}
	d.launch()
	d.publish(health.Question)
	var h *request.Health
	for h == nil {
		h = next(t, d.statuses).Health
	}
	if h.Waiting["cloudResults"] != 10 || h.Waiting["cloudStatus"] < 20 || h.Waiting["results"] != 0 || h.Lost["cloudResults"] != 0 || h.Lost["cloudStatus"] != 0 {
		t.Errorf("waiting %v, lost %v", h.Waiting, h.Lost)
	}
	d.nucleus.SetOnline(true)
	var results []string
	messages := map[string]int{}
	for len(results) < 10 || messages["Ready."] < 3 {
		m := next(t, d.cloud)
		if m.Topic == resultTopic {
			r, err := request.ParseResult(m.Payload)
			if err != nil || r.Error != nil || r.Attempt < 2 {
				t.Errorf("%s, %v", m.Payload, err)
			}
			results = append(results, r.ID)
			continue
		}
		var s request.Status
		if err := json.Unmarshal(m.Payload, &s); err != nil {
			t.Fatal(err)
		}
		messages[s.Message]++
	}
	if diff := cmp.Diff(strings.Fields("0 1 2 3 4 5 6 7 8 9"), results); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	want := map[string]int{"App starting.": 3, "App stopping.": 2, "Image processed.": 10}
	for message, n := range want {
		if messages[message] != n {
			t.Errorf("%q came %d times, want %d: %v", message, messages[message], n, messages)
		}
	}
	until(t, "its return is told", func() bool { return d.logs.FilterMessage("AWS IoT Core is reachable again").Len() == 1 })
}

func TestAnswersWaitUntilTheRecipeAllowsThem(t *testing.T) {
	t.Parallel()
	rights := access(ComponentName)
	delete(rights, "aws.greengrass.ipc.mqttproxy")
	d := newDevice(t, nucleus.Classic, map[string]any{"iotcore": resultsToIoTCore, "accessControl": rights})
	d.slice("a.png")
	d.launch()
	d.ask(`{"id":"a","image":{"path":"a.png"}}`)
	until(t, "the refusal is told", func() bool {
		for _, e := range d.logs.FilterMessage("message not sent yet, trying again").All() {
			if e.ContextMap()["kind"] == "answer to AWS IoT Core" {
				return true
			}
		}
		return false
	})
	if err := d.nucleus.MergeConfiguration(ComponentName, nil, map[string]any{"accessControl": access(ComponentName)}); err != nil {
		t.Fatal(err)
	}
	if r := d.cloudResult(); r.ID != "a" || r.Error != nil {
		t.Errorf("%+v", r)
	}
}

func TestDamagedMessagesForIoTCoreAreSetAsideAndTold(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "queue")
	d := newDevice(t, nucleus.Lite, map[string]any{"queue": map[string]any{"folder": folder}})
	d.nucleus.SetOnline(false)
	d.launch()
	d.stop()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "outbox.db")
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.launch()
	before := d.awaitStatus("Error: status messages that waited for AWS IoT Core were damaged and are set aside.")
	if kept, err := filepath.Glob(file + ".damaged-*"); err != nil || len(kept) != 1 {
		t.Errorf("kept: %v, %v", kept, err)
	}
	if !slices.Contains(before, "Ready.") { // nobody waits for that file
		d.awaitStatus("Ready.")
	}
}
