package greengrass

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/schemas"
)

// configurationRefused asks the component whether what is configured has no effect.
func (d *device) configurationRefused() bool {
	d.t.Helper()
	d.publish(`{"health": true}`)
	for {
		if s := next(d.t, d.statuses); s.Health != nil {
			if document, err := s.Encode(); err != nil || !validates(d.t, schemas.Status, document) {
				d.t.Errorf("the status does not fit its schema: %s, %v", document, err)
			}
			return s.Health.ConfigurationRefused
		}
	}
}

const (
	notValid = "Error: the new configuration is not valid and has no effect; the configuration before stays in effect."
	noFolder = "Error: a folder for images or masks cannot be used; the configuration before stays in effect."
)

// restart ends the component and starts it again on what is configured by then, as
// nucleus lite does for a deployment from the cloud.
func (d *device) restart(change map[string]any) {
	d.t.Helper()
	d.stop()
	if err := d.wait(); err != nil {
		d.t.Fatal(err)
	}
	for len(d.statuses) > 0 {
		<-d.statuses
	}
	d.configure(change)
	d.launch()
}

func TestOnNucleusLiteAStartWithABadConfigurationTakesTheOneBefore(t *testing.T) {
	t.Parallel()
	level := zap.NewAtomicLevel()
	d := newDevice(t, nucleus.Lite, map[string]any{"log": map[string]any{"level": "warn"}})
	d.kept, d.level = filepath.Join(t.TempDir(), "kept.json"), &level
	d.slice("a.png")
	asked := 0
	answers := func(folder string) {
		t.Helper()
		asked++
		if r := d.ask(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, asked)); r.Error != nil || filepath.Dir(r.Mask.Path) != folder {
			t.Fatalf("mask %+v, error %+v, want it in %s", r.Mask, r.Error, folder)
		}
		if state := d.nucleus.State(ComponentName); state != "RUNNING" {
			t.Errorf("the component is %q to the nucleus", state)
		}
	}
	d.launch()
	answers(d.out)

	// Not valid.
	bad := map[string]any{"service": map[string]any{"workers": "many"}, "output": map[string]any{"root": t.TempDir()}, "log": map[string]any{"level": "debug"}}
	for range 2 { // and once more, as after a loss of power
		d.restart(bad)
		d.awaitStatus(notValid)
		answers(d.out)
		if !d.configurationRefused() {
			t.Error("the health does not tell that what is configured has no effect")
		}
		if level.Level() != zapcore.WarnLevel {
			t.Errorf("the level of the log is %v", level.Level())
		}
	}
	elsewhere := t.TempDir()
	d.configure(map[string]any{"service": map[string]any{"workers": "1"}, "output": map[string]any{"root": elsewhere}})
	d.awaitStatus("Configuration changed.")
	d.awaitStatus("Ready.")
	answers(elsewhere)
	if d.configurationRefused() {
		t.Error("the health tells of a configuration that is refused no more")
	}
	if level.Level() != zapcore.DebugLevel {
		t.Errorf("the level of the log is %v after the change", level.Level())
	}

	// Valid, but it cannot be opened: with a request that comes meanwhile.
	early := make(chan error, 1)
	d.stop()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for !d.nucleus.Hears(ComponentName, requestTopic) {
			time.Sleep(time.Millisecond)
		}
		early <- d.nucleus.Publish(requestTopic, []byte(`{"id":"early","image":{"path":"a.png"}}`))
	}()
	d.restart(map[string]any{"images": map[string]any{"roots": []any{"/nowhere"}}, "output": map[string]any{"root": t.TempDir()}})
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	d.awaitStatus(noFolder)
	if r := next(t, d.results); r.ID != "early" || r.Error != nil || filepath.Dir(r.Mask.Path) != elsewhere {
		t.Errorf("%+v, error %+v", r, r.Error)
	}
	answers(elsewhere)
	d.configure(map[string]any{"images": map[string]any{"roots": []any{d.in}}})
	d.awaitStatus("Configuration changed.")
	d.awaitStatus("Ready.")
	if r := d.ask(`{"id":"good again","image":{"path":"a.png"}}`); r.Error != nil || filepath.Dir(r.Mask.Path) == elsewhere {
		t.Errorf("mask %+v, error %+v", r.Mask, r.Error)
	}
}

func TestTheTopicsOfTheConfigurationBeforeAreHeardAgain(t *testing.T) {
	t.Parallel()
	everything := map[string]any{"1": map[string]any{"operations": []any{"*"}, "resources": []any{"*"}}}
	d := newDevice(t, nucleus.Lite, map[string]any{
		"accessControl": map[string]any{"aws.greengrass.ipc.pubsub": everything, "aws.greengrass.ipc.mqttproxy": everything},
	})
	d.kept = filepath.Join(t.TempDir(), "kept.json")
	d.slice("a.png")
	d.launch()
	d.awaitStatus("Ready.")
	d.restart(map[string]any{"topics": map[string]any{"request": "other/request"}, "output": map[string]any{"root": "/proc/nowhere"}})
	d.awaitStatus(noFolder)
	if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil {
		t.Errorf("%+v", r.Error)
	}
	if d.nucleus.Hears(ComponentName, "other/request") {
		t.Error("the other topic is heard, too")
	}
}

func TestAKeyThatWaitsForTheNextStartIsNotKeptBeforeThat(t *testing.T) {
	t.Parallel()
	d := newDevice(t, nucleus.Lite, nil)
	d.kept = filepath.Join(t.TempDir(), "kept.json")
	d.slice("a.png")
	d.launch()
	d.awaitStatus("Ready.")
	d.configure(map[string]any{"queue": map[string]any{"folder": "/proc/nowhere"}})
	d.awaitStatus("Configuration changed; queue.folder from the next start on.")
	d.restart(map[string]any{})
	d.awaitStatus("Error: the folder of the queue cannot be used; the configuration before stays in effect.")
	if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil {
		t.Errorf("%+v", r.Error)
	}
}

func TestAStartFailsWithTheFirstErrorWhereNoConfigurationBeforeIsOfUse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		profile nucleus.Profile
		kept    string // what lies there, "" for nothing
		told    string // in the log, "" for nothing
	}{
		"the classic nucleus goes back by itself": {nucleus.Classic, `{}`, ""},
		"the first start":                         {nucleus.Lite, ``, ""},
		"a damaged file":                          {nucleus.Lite, `{"images": {"ro`, "the configuration that was in effect before cannot be used either"},
		"a program that refuses what was kept":    {nucleus.Lite, `{"service": {"workers": "none"}}`, "the configuration that was in effect before cannot be used either"},
		"neither can be opened":                   {nucleus.Lite, `{"queue": {"folder": ""}, "model": {"library": "/nowhere"}}`, "the configuration cannot be used, the one before is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, tt.profile, map[string]any{"images": map[string]any{"roots": []any{"/nowhere"}}})
			d.kept = filepath.Join(t.TempDir(), "kept.json")
			if tt.kept != "" {
				if err := os.WriteFile(d.kept, []byte(tt.kept), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			d.launch()
			if err := d.wait(); err == nil || !strings.Contains(err.Error(), "/nowhere") || !strings.HasPrefix(err.Error(), "open the image folders") {
				t.Errorf("the component ended with %v", err)
			}
			d.awaitStatus("Error: a folder for images or masks cannot be used.")
			if told := d.logs.FilterMessageSnippet("before").All(); len(told) > 0 != (tt.told != "") || tt.told != "" && told[len(told)-1].Message != tt.told {
				t.Errorf("told: %v", told)
			}
			if content, err := os.ReadFile(d.kept); string(content) != tt.kept || tt.kept == "" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("kept: %s, %v", content, err)
			}
		})
	}
}

func TestTheClassicNucleusHasNothingKept(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.kept = filepath.Join(t.TempDir(), "kept.json")
	d.launch()
	d.awaitStatus("Ready.")
	if _, err := os.Stat(d.kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is kept: %v", err)
	}
}
