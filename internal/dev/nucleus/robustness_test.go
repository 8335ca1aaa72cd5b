package nucleus

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
)

func TestAReaderThatDoesNotDrainHoldsUpNobody(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		slow, quick, publisher := connect(t, n, "com.example.B"), connect(t, n, "com.example.B"), connect(t, n, "com.example.A")
		slow.succeed("SubscribeToTopic", `{"topic":"t"}`)
		id := quick.succeed("SubscribeToTopic", `{"topic":"t"}`).StreamID
		size, count := 6000, 200
		if p == Classic {
			size, count = 1<<20, 30
		}
		message := publish("t", `"binaryMessage":{"message":"`+strings.Repeat("AAAA", size/4)+`"}`)
		for range count {
			publisher.succeed("PublishToTopic", message)
			if f := quick.read(); f.StreamID != id {
				t.Fatalf("got %+v", f)
			}
		}
		if n.DroppedEvents() == 0 {
			t.Error("nothing was dropped for a reader that does not read")
		}
		before := n.Connected("com.example.B")
		slow.write(&frame.Frame{Type: 42}) // ends it, though the last frames cannot be sent
		for end := time.Now().Add(patience); n.Connected("com.example.B") == before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the connection of the slow reader is still there")
			}
		}
	})
}

func TestRevokedTokensAreRefusedAndNewOnesTaken(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
		old := n.Token("com.example.A")
		if err := n.Revoke("com.example.A"); err != nil {
			t.Fatal(err)
		}
		a.succeed("GetConfiguration", `{}`)
		n.DropConnections("com.example.A")
		a.closed()
		b.succeed("GetConfiguration", `{}`)
		c := dial(t, n)
		c.greet(old)
		if p == Classic {
			c.read()
		}
		c.closed()
		connect(t, n, "com.example.A")
		n.DropConnections()
		b.closed()
		if err := n.Revoke("com.example.None"); !errors.Is(err, ipcserver.ErrUnknownComponent) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAfterARestartOnlyNewTokensAreTaken(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		old := n.Token("com.example.A")
		c := connect(t, n, "com.example.A")
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f, err := c.frames.Read(); err == nil {
			t.Errorf("the old connection goes on with %+v", f)
		}
		if n.Token("com.example.A") == old {
			t.Error("the token is the old one")
		}
		connect(t, n, "com.example.A").succeed("GetConfiguration", `{}`)
		c = dial(t, n)
		c.greet(old)
		if f, err := c.frames.Read(); err == nil && f.Flags == frame.ConnectionAccepted {
			t.Error("the old token is still good")
		}
	})
}

func TestANucleusStopsWithItsContextAndStartsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	n, err := New(Options{SocketPath: path, Components: []Component{{Name: "com.example.A"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(ctx); !errors.Is(err, ipcserver.ErrRunning) {
		t.Errorf("second start: %v", err)
	}
	c := connect(t, n, "com.example.A")
	c.succeed("UpdateState", `{"state":"RUNNING"}`)
	cancel()
	c.closed()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket is still served")
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	connect(t, n, "com.example.A")
	if got := n.State("com.example.A"); got != "RUNNING" {
		t.Errorf("state after a restart: got %q", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestTheSocketIsPrivateAndRemoved(t *testing.T) {
	n, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(n.SocketPath())
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of the socket: %v, %v", info.Mode(), err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory after Close: %v", err)
	}
}

func TestStartLeavesTheFilesAndSocketsOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	running := start(t, Options{SocketPath: filepath.Join(dir, "running")})
	stale := filepath.Join(dir, "stale")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	for path, want := range map[string]string{file: "not a socket", running.SocketPath(): "another process", stale: ""} {
		n, err := New(Options{SocketPath: path})
		if err != nil {
			t.Fatal(err)
		}
		err = n.Start(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", filepath.Base(path), err, want)
		}
		n.Close()
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "kept" {
		t.Errorf("file: %q, %v", data, err)
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	for want, o := range map[string]Options{
		"107":      {SocketPath: strings.Repeat("a", 108)},
		"no name":  {Components: []Component{{}}},
		"twice":    {Components: []Component{{Name: "a"}, {Name: "a"}}},
		"chan int": {Components: []Component{{Name: "a", Configuration: map[string]any{"c": make(chan int)}}}},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEnvironmentHasWhatEachNucleusGives(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := start(t, Options{Profile: p, Region: "eu-west-1", Components: []Component{{Name: "com.example.A"}}})
		env := strings.Join(n.Env("com.example.A"), "\n")
		for _, want := range []string{
			"SVCUID=" + n.Token("com.example.A"), "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=" + n.SocketPath(),
			"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + n.Token("com.example.A"), "AWS_IOT_THING_NAME=LocalThing", "GGC_VERSION=2.", "AWS_REGION=eu-west-1",
		} {
			if !strings.Contains(env, want) {
				t.Errorf("no %s in\n%s", want, env)
			}
		}
	})
}

func TestManyClientsAtOnceDoNotDisturbEachOther(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		var wg sync.WaitGroup
		for i := range 8 {
			c := connect(t, n, "com.example.A")
			wg.Add(1)
			go func() {
				defer wg.Done()
				topic := fmt.Sprintf("t/%d", i)
				id := c.start("SubscribeToTopic", `{"topic":"`+topic+`"}`)
				c.answer(id)
				for range 50 {
					c.start("PublishToTopic", publish(topic, hello))
				}
				events := 0
				for range 100 {
					if c.read().StreamID == id {
						events++
					}
				}
				if events != 50 {
					t.Errorf("client %d: %d events, want 50", i, events)
				}
				if i%2 == 0 {
					c.conn.Close() // with a live subscription
				}
			}()
		}
		wg.Wait()
	})
}

// FuzzServe sends arbitrary bytes after a good handshake: the server neither
// panics nor hangs, and serves others as before.
func FuzzServe(f *testing.F) {
	files, err := filepath.Glob("../../../ggipc/testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatalf("recorded conversations: %d files, %v", len(files), err)
	}
	for _, file := range files {
		for _, line := range readRecording(f, file) {
			if line.From != "client" || line.Frame == "" || len(line.Frame) > 1000 {
				continue
			}
			if data, err := hex.DecodeString(line.Frame); err == nil {
				f.Add(data, true)
				f.Add(data, false)
			}
		}
	}
	nuclei := map[bool]*Nucleus{false: pair(f, Options{}), true: pair(f, Options{Profile: Lite})}
	f.Fuzz(func(t *testing.T, data []byte, lite bool) {
		n := nuclei[lite]
		c := connect(t, n, "com.example.A")
		fixFrames(data)
		c.conn.SetDeadline(time.Now().Add(patience))
		c.conn.Write(data)
		c.conn.(*net.UnixConn).CloseWrite()
		for {
			_, err := c.frames.Read()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the server hangs")
			}
			if err != nil {
				break
			}
		}
		c.conn.Close()
		bystander := connect(t, n, "com.example.B")
		bystander.succeed("GetConfiguration", `{"keyPath":["a"]}`)
		bystander.conn.Close()
	})
}

// fixFrames sets the checksums of the frames in data as far as their lengths
// fit, so that fuzzing reaches what lies behind them.
func fixFrames(data []byte) {
	for len(data) >= 16 {
		total := binary.BigEndian.Uint32(data)
		if total < 16 || int64(total) > int64(len(data)) {
			return
		}
		binary.BigEndian.PutUint32(data[8:], crc32.ChecksumIEEE(data[:8]))
		binary.BigEndian.PutUint32(data[total-4:], crc32.ChecksumIEEE(data[:total-4]))
		data = data[total:]
	}
}
