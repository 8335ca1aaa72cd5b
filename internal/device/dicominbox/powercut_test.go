package dicominbox_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/dev/powercut"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

var cutStates = flag.Int("cut-states", 250, "how many disks the power cut test builds")

// cutFolder makes a program of the tests: the one whose power is cut.
const cutFolder = "INBOX_CUT_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(cutFolder); folder != "" {
		if err := cutProgram(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// cutProgram does all that an inbox does, and says what it has confirmed.
func cutProgram(folder string) error {
	b, err := dicominbox.Open(dicominbox.Options{Folder: folder, Quiet: time.Millisecond, Keep: time.Hour, MaxBytes: 9 * 4096})
	if err != nil {
		return err
	}
	sent := func(s dicomtest.Series, variant string) error {
		for k := range s.Slices {
			if status := store(b, s, k); status != dicomnet.Success {
				return fmt.Errorf("object %d of %d: %v", k, s.Number, status)
			}
			fmt.Println("stored", s.Number, k, variant)
		}
		return nil
	}
	work := func(failed bool) error {
		s, err := b.Complete(context.Background())
		if err != nil {
			return err
		}
		if err := b.Accepted(s); err != nil {
			return err
		}
		fmt.Println("accepted", s.Key, s.Set, s.Attempt)
		if err := b.Released(s, failed); err != nil {
			return err
		}
		fmt.Println("released", s.Key, s.Set, s.Attempt, failed)
		return nil
	}
	one, two := dicomtest.Series{Number: 1, Slices: 3}, dicomtest.Series{Number: 2, Slices: 2}
	corrected := one
	corrected.Changed = true
	for _, step := range []func() error{
		func() error { return sent(one, "first") },
		func() error { return work(false) },
		func() error { return sent(corrected, "corrected") },
		func() error { return work(true) },
		func() error { return sent(two, "first") },
		func() error { return work(false) },
		func() error { return sent(corrected, "corrected") }, // again, because it failed
		func() error { return work(false) },
		func() error { fmt.Println("removing"); return nil },
		func() error { return sent(dicomtest.Series{Number: 3, Slices: 5}, "first") }, // there is no room for three
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func TestNothingThatWasConfirmedIsLostByAPowerCut(t *testing.T) {
	root := t.TempDir()
	trace, disk := powercut.RecordTest(t, root, cutFolder+"="+filepath.Join(root, "inbox"), "TMPDIR="+root)
	states, last := 0, 0
	err := trace.States(powercut.StateOptions{States: *cutStates, Folder: disk}, func(said []string) error {
		states++
		last = len(said)
		if err := checkDisk(filepath.Join(disk, "inbox"), said); err != nil {
			return fmt.Errorf("after %q: %w", strings.Join(said, "; "), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if last < 20 {
		t.Errorf("the program said only %d lines", last)
	}
	t.Logf("%d operations, %d states of the disk", trace.Len(), states)
}

// checkDisk opens the inbox of a disk and holds it to what was confirmed.
func checkDisk(folder string, said []string) error {
	stored, released, removing := make(map[[2]int]string), make(map[string]dicominbox.Series), false
	accepted := make(map[string]dicominbox.Series)
	failed, open := "", make(map[any]bool) // keys or, before there is one, numbers of series that are to be handed out
	for _, line := range said {
		var number, k int
		var variant string
		var s dicominbox.Series
		switch {
		case line == "removing":
			removing = true
		case strings.HasPrefix(line, "stored"):
			fmt.Sscanf(line, "stored %d %d %s", &number, &k, &variant)
			stored[[2]int{number, k}] = variant
			if number != 1 || variant == "first" {
				open[number] = true
			} else if failed != "" {
				open[failed] = true
			}
		case strings.HasPrefix(line, "accepted"):
			fmt.Sscanf(line, "accepted %s %s %d", &s.Key, &s.Set, &s.Attempt)
			accepted[s.Key] = s
			failed = ""
			clear(open) // the program works on one series before it sends the next
		case strings.HasPrefix(line, "released"):
			fmt.Sscanf(line, "released %s %s %d", &s.Key, &s.Set, &s.Attempt)
			released[s.Key] = s
			if strings.HasSuffix(line, "true") {
				failed = s.Key
			}
		}
	}
	b, err := dicominbox.Open(dicominbox.Options{Folder: folder, Quiet: time.Nanosecond})
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	for object, variant := range stored {
		if removing && object[0] != 3 {
			continue
		}
		if err := checkObject(folder, object[0], object[1], variant); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "series", "*", "objects", "*"))
	if err != nil {
		return err
	}
	if n := b.Stats().Objects; n != len(files) {
		return fmt.Errorf("%d objects are counted, and %d are there", n, len(files))
	}
	// What was released with the same objects is not handed out again, but where it
	// failed and was sent again.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	handed := len(b.Unreleased()) // or accepted without having said so yet
	for {
		s, err := b.Complete(ctx)
		if err != nil && handed < len(open) {
			return fmt.Errorf("only %d series are handed out of %v", handed, open)
		}
		if err != nil {
			return nil
		}
		handed++
		if before, ok := released[s.Key]; ok && s.Set == before.Set && s.Attempt <= before.Attempt {
			return fmt.Errorf("%+v is handed out again, though it was released", s)
		}
		if before, ok := accepted[s.Key]; ok && s.Set == before.Set && s.Attempt <= before.Attempt {
			return fmt.Errorf("%+v is handed out again, though it was accepted", s)
		}
	}
}

// checkObject holds the file of an object to what was confirmed of it: there is
// one, it is whole, and of the variant that was confirmed or a later one.
func checkObject(folder string, number, k int, variant string) error {
	var found []string
	files, err := filepath.Glob(filepath.Join(folder, "series", "*", "objects", "*"))
	if err != nil {
		return err
	}
	for _, changed := range []bool{false, true} {
		s := dicomtest.Series{Number: number, Slices: 5, Changed: changed}
		s.Slices = map[int]int{1: 3, 2: 2, 3: 5}[number]
		r := dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: s.InstanceUID(k), TransferSyntax: dicomtest.Syntax, CallingTitle: "PEER"}
		want := append(dicomnet.FileHeader(r), s.DataSet(k)...)
		for _, file := range files {
			if raw, err := os.ReadFile(file); err == nil && bytes.Equal(raw, want) {
				found = append(found, map[bool]string{false: "first", true: "corrected"}[changed])
			}
		}
	}
	if len(found) != 1 || variant == "corrected" && found[0] != "corrected" {
		return fmt.Errorf("object %d of series %d was confirmed as %s, and there is %q", k, number, variant, found)
	}
	return nil
}
