package keptconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/queue"
)

func newFile(t *testing.T) (File, *observer.ObservedLogs) {
	core, logs := observer.New(zap.WarnLevel)
	return File{Path: filepath.Join(t.TempDir(), "kept.json"), Logger: zap.New(core)}, logs
}

var (
	document = json.RawMessage(`{"service": {"workers": "3"}, "http": {"token": "0123456789abcdef"}}`)
	unfit    = &parts.Error{Part: "store", Summary: "a folder cannot be used", Err: errors.New("/nowhere")}
)

func TestWhatIsKeptIsTheLastDocumentForItsOwnerAlone(t *testing.T) {
	f, logs := newFile(t)
	if err := os.WriteFile(f.Path, []byte(`{"service": {"workers": 2}, "a": "a longer one than that which replaces it, by far"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	f.Keep(document)
	content, err := os.ReadFile(f.Path)
	if err != nil || string(content) != string(document) {
		t.Errorf("kept: %s, %v", content, err)
	}
	first, err := os.Stat(f.Path)
	if err != nil || first.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v", first.Mode(), err)
	}
	before, ok := f.Instead(config.Config{}, config.ErrInvalid)
	if !ok || before.Service.Workers != 3 {
		t.Errorf("instead: %t, %d workers", ok, before.Service.Workers)
	}
	f.Keep(document)
	if again, err := os.Stat(f.Path); err != nil || !os.SameFile(first, again) {
		t.Errorf("the same is written again, %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil || len(entries) != 1 || logs.Len() > 0 {
		t.Errorf("beside it: %v, %v; logged: %v", entries, err, logs.All())
	}
}

func TestOnlyAMatterOfTheConfigurationHasTheOneBeforeTaken(t *testing.T) {
	f, _ := newFile(t)
	f.Keep(document)
	_, _, invalid := config.Parse([]byte(`{"service": {"workers": "many"}}`))
	same, _, err := config.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	of := func(err error) error { return &parts.Error{Part: "part", Summary: "it cannot be used", Err: err} }
	tests := []struct {
		name   string
		failed config.Config
		err    error
		want   bool
	}{
		{"nothing failed", config.Default(), nil, false},
		{"not valid", config.Config{}, fmt.Errorf("read: %w", invalid), true},
		{"a part of it", config.Default(), fmt.Errorf("open: %w", unfit), true},
		{"a topic that is not allowed", config.Default(), of(&ggipc.Error{Code: ggipc.CodeUnauthorized}), true},
		{"the one that is kept", same, unfit, false},
		{"something else", config.Default(), errors.New("no state"), false},
		{"the end", config.Default(), of(context.Canceled), false},
		{"a nucleus that does not answer", config.Default(), of(context.DeadlineExceeded), false},
		{"a token that is refused", config.Default(), of(ggipc.ErrTokenRefused), false},
		{"a connection that is lost", config.Default(), of(ggipc.ErrConnectionLost), false},
		{"a service that is away", config.Default(), of(&ggipc.Error{Code: ggipc.CodeServiceError}), false},
		{"a queue that another process holds", config.Default(), of(fmt.Errorf("open the queue: %w", queue.ErrLocked)), false},
	}
	for _, tt := range tests {
		if before, ok := f.Instead(tt.failed, tt.err); ok != tt.want || ok && before.Service.Workers != 3 {
			t.Errorf("%s: got %t with %d workers", tt.name, ok, before.Service.Workers)
		}
	}
}

func TestAFileThatCannotBeUsedIsToldAndHarmsNothing(t *testing.T) {
	whole := string(document)
	for name, content := range map[string]string{
		"cut":                   whole[:len(whole)/2],
		"empty":                 "",
		"zeros":                 strings.Repeat("\x00", len(whole)),
		"another kind":          `["0123456789abcdef"]`,
		"too large":             `{"a": "` + strings.Repeat("a", maxBytes) + `"}`,
		"refused by now":        `{"service": {"workers": "-1"}}`,
		"a folder in its place": "folder",
	} {
		t.Run(name, func(t *testing.T) {
			f, logs := newFile(t)
			err := os.WriteFile(f.Path, []byte(content), 0o600)
			if content == "folder" {
				err = errors.Join(os.Remove(f.Path), os.Mkdir(f.Path, 0o700))
			}
			if err != nil {
				t.Fatal(err)
			}
			if before, ok := f.Instead(config.Default(), unfit); ok {
				t.Errorf("taken: %+v", before)
			}
			if told := logs.FilterMessageSnippet("cannot be used either").All(); len(told) != 1 || strings.Contains(fmt.Sprint(told[0].ContextMap()), "0123456789abcdef") {
				t.Errorf("told: %v", told)
			}
			f.Keep(document)
			if _, ok := f.Instead(config.Default(), unfit); ok != (content != "folder") {
				t.Errorf("afterwards: %t, logged: %v", ok, logs.All())
			}
		})
	}
}

func TestTheFirstStartHasNoneBeforeAndTellsNothing(t *testing.T) {
	f, logs := newFile(t)
	none := File{Logger: f.Logger} // as on the classic nucleus
	none.Keep(document)
	for _, f := range []File{f, none} {
		if _, ok := f.Instead(config.Default(), unfit); ok || logs.Len() > 0 {
			t.Errorf("%q: %t, logged: %v", f.Path, ok, logs.All())
		}
	}
}

func TestWhatCannotBeKeptIsToldAndLeavesTheOneBefore(t *testing.T) {
	f, logs := newFile(t)
	f.Keep(document)
	f.Keep(json.RawMessage(`{"a": "` + strings.Repeat("a", maxBytes) + `"}`))
	if before, ok := f.Instead(config.Default(), unfit); !ok || before.Service.Workers != 3 {
		t.Errorf("%t, %d workers", ok, before.Service.Workers)
	}
	File{Path: filepath.Join(f.Path, "below"), Logger: f.Logger}.Keep(document)
	if n := logs.FilterMessageSnippet("could not be kept").Len(); n != 2 {
		t.Errorf("told %d times: %v", n, logs.All())
	}
}
