package listener

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
)

// The long form is `make flood`.
var (
	floodTime    = flag.Duration("flood", time.Second, "for how long good clients and slow ones come together")
	floodSlow    = flag.Int("slow", 200, "slow connections in the flood")
	floodModel   = flag.String("flood-model", "", "folder of the model in the flood, which then gets a slice of a head; empty: a small one")
	floodClients = flag.Int("clients", 64, "good clients in the flood")
)

func TestOneClientHasSoManyRequestsASecond(t *testing.T) {
	l, err := listen(t, Settings{HTTP: config.HTTP{Address: "127.0.0.1:0", Requests: 20}})
	if err != nil {
		t.Fatal(err)
	}
	asking := newClient(t, nil)
	refused := 0
	for range 200 { // in much less than ten seconds
		answer, content := ask(t, asking, "GET", "http://"+l.Addr()+"/", nil)
		if answer.StatusCode == 429 {
			refused++
			if answer.Header.Get("Retry-After") != "1" || !strings.Contains(content, `"busy"`) {
				t.Fatalf("got %s", content)
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestClientsAreToldApartAndNotKeptInMindForEver(t *testing.T) {
	var c clients
	r := &rules{Settings: Settings{HTTP: config.HTTP{Requests: 1}}}
	if c.of("10.0.0.1:1", r) != c.of("10.0.0.1:2", r) || c.of("10.0.0.1:1", r) == c.of("10.0.0.2:1", r) {
		t.Error("clients are not their addresses")
	}
	if c.of("[2001:db8::1]:1", r) != c.of("[2001:db8::2]:1", r) || c.of("[2001:db8:0:1::1]:1", r) == c.of("[2001:db8::1]:1", r) {
		t.Error("clients are not their networks")
	}
	first := c.of("10.0.0.1:1", r)
	if c.of("[::ffff:10.0.0.1]:9", r) != first {
		t.Error("an address in the form of IPv6 is another client")
	}
	for i := range 2 * maxClients {
		c.of(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)}), 1).String(), r)
	}
	if len(c.known) > maxClients || c.of("10.0.0.1:1", r) == first {
		t.Errorf("%d clients are kept in mind", len(c.known))
	}
}

func TestABodyIsReadNoFasterThanItsClientMaySend(t *testing.T) {
	l, err := listen(t, Settings{HTTP: config.HTTP{Address: "127.0.0.1:0", Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := newClient(t, nil).Post("http://"+l.Addr()+"/", "x/y", bytes.NewReader(make([]byte, 5<<18)))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if took := time.Since(began); answer.StatusCode != http.StatusOK || took < 200*time.Millisecond {
		t.Errorf("%s after %s", answer.Status, took)
	}
}

func TestABodyThatDoesNotMoveOnIsGivenUp(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	s := newSocket(nil, nil)
	c := &conn{Conn: ours, socket: s}
	r := &rules{}
	b := &body{ReadCloser: io.NopCloser(ours), ctx: t.Context(), conn: c, client: new(clients).of("", r), begun: true, left: 50 * time.Millisecond}
	go theirs.Write([]byte("some"))
	if n, err := b.Read(make([]byte, 10)); n != 4 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if _, err := b.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhoeverKeepsUsWaitingLongestMakesRoom(t *testing.T) {
	const most = 8
	working, release := make(chan struct{}, 1), make(chan struct{})
	l := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/work" {
			working <- struct{}{}
			<-release
		}
		io.WriteString(w, "yes")
	}), zap.NewNop())
	if err := l.Listen(t.Context(), Settings{HTTP: config.HTTP{Address: "127.0.0.1:0", Connections: most}}); err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	var dialled []net.Conn
	defer func() {
		for _, c := range dialled {
			c.Close()
		}
	}()
	dial := func(send string) net.Conn {
		c, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		dialled = append(dialled, c)
		io.WriteString(c, send)
		return c
	}
	inWork := dial("GET /work HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-working
	var slow []net.Conn
	for range 3 * most {
		slow = append(slow, dial("GET / HTTP/1.1\r\nX-Slow: "))
	}
	for range 3 * most { // each of which makes one of the slow ones go
		good := dial("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(good), nil)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("a good client: %v %+v", err, answer)
		}
	}
	for i, c := range slow[:2*most] {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("slow connection %d is still open: %v", i, err)
		}
	}
	letGo()
	if answer, err := http.ReadResponse(bufio.NewReader(inWork), nil); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the request in work: %v", err)
	}
}

func TestAConnectionThatWaitsForUsKeepsItsPlace(t *testing.T) {
	s := newSocket(nil, nil)
	connect := func() *conn {
		ours, _ := net.Pipe()
		c := &conn{Conn: ours, socket: s}
		c.waits()
		return c
	}
	first, second := connect(), connect()
	s.add(first, 2)
	s.add(second, 2)
	first.works()
	second.works()
	added := make(chan bool)
	go func() { added <- s.add(connect(), 2) }()
	first.Close()
	if !<-added {
		t.Error("there was no room for another")
	}
	go func() { added <- s.add(connect(), 1) }()
	s.mu.Lock()
	s.closed = true
	s.freed.Broadcast()
	s.mu.Unlock()
	if <-added {
		t.Error("a connection was let in after the end")
	}
}

func TestAPanicOfTheHandlerEndsItsConnectionOnly(t *testing.T) {
	l := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("a fault")
		}
	}), zap.NewNop())
	if err := l.Listen(t.Context(), Settings{HTTP: config.HTTP{Address: "127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	asking := newClient(t, nil)
	if answer, err := asking.Get("http://" + l.Addr() + "/panic"); err == nil {
		answer.Body.Close()
		t.Errorf("got %s", answer.Status)
	}
	if answer, _ := ask(t, asking, "GET", "http://"+l.Addr()+"/", nil); answer.StatusCode != 200 {
		t.Errorf("afterwards: %s", answer.Status)
	}
}

func TestAConnectionWhoseRequestIsRefusedWaitsForItsClientAgain(t *testing.T) {
	l := New(http.NotFoundHandler(), zap.NewNop())
	if err := l.Listen(t.Context(), Settings{HTTP: config.HTTP{Address: "127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 1\r\n\r\nA",
		"OPTIONS * HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: 1\r\n\r\nA",
	} {
		client, err := net.Dial("tcp", l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := io.WriteString(client, request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %s", request, answer.Status)
		}
		l.mu.Lock()
		s := l.server.socket
		l.mu.Unlock()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			s.mu.Lock()
			waiting := 0
			for c := range s.open {
				if c.since.Load() != 0 {
					waiting++
				}
			}
			all := len(s.open)
			s.mu.Unlock()
			if all > 0 && waiting == all {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%q: %d of %d connections can make room", request, waiting, all)
			}
		}
	}
}
