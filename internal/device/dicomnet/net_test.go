package dicomnet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mrClass    = "1.2.840.10008.5.1.4.1.1.4"
	explicitLE = "1.2.840.10008.1.2.1"
	implicitLE = "1.2.840.10008.1.2"
)

// keeper stores objects in memory.
type keeper struct {
	mu       sync.Mutex
	requests []dicomnet.StoreRequest
	sums     [][32]byte
	cut      int // objects that did not come to their end
	answer   dicomnet.Status
	unread   bool // leaves the data where they are
}

func (k *keeper) Store(_ context.Context, r dicomnet.StoreRequest, data io.Reader) dicomnet.Status {
	k.mu.Lock()
	unread, answer := k.unread, k.answer
	k.mu.Unlock()
	if unread {
		return answer
	}
	h := sha256.New()
	_, err := io.Copy(h, data)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.cut++
		return dicomnet.OutOfResources
	}
	k.requests = append(k.requests, r)
	k.sums = append(k.sums, [32]byte(h.Sum(nil)))
	return answer
}

// list is what was stored so far.
func (k *keeper) list() []dicomnet.StoreRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.requests)
}

// serve runs a server until the test is over.
func serve(t *testing.T, s dicomnet.Server) (address string, log *observer.ObservedLogs) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), serveOn(t, s, l)
}

func serveOn(t *testing.T, s dicomnet.Server, l net.Listener) *observer.ObservedLogs {
	t.Helper()
	core, log := observer.New(zap.DebugLevel)
	if s.Logger = zap.New(core); s.Title == "" {
		s.Title = "BRAINSEG"
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ends with %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the server does not end")
		}
	})
	return log
}

func requestor(address string) dicomnet.Requestor {
	return dicomnet.Requestor{CallingTitle: "PEER", CalledTitle: "BRAINSEG", Address: address}
}

var proposals = []dicomnet.Proposal{
	{SOPClass: dicomnet.VerificationClass, TransferSyntaxes: []string{implicitLE}},
	{SOPClass: mrClass, TransferSyntaxes: []string{"1.2.840.10008.1.2.4.203", explicitLE, implicitLE}},
	{SOPClass: "1.2.840.10008.5.1.4.1.1.7", TransferSyntaxes: []string{explicitLE}},
	{SOPClass: mrClass, TransferSyntaxes: []string{"1.2.840.10008.1.2.4.203"}},
}

func TestWhatIsSentArrivesByteForByteWhateverItsLength(t *testing.T) {
	k := &keeper{}
	address, _ := serve(t, dicomnet.Server{SOPClasses: []string{mrClass}, TransferSyntaxes: []string{explicitLE, implicitLE}, Storer: k, MaxPDU: 4096})
	a, err := requestor(address).Dial(t.Context(), proposals...)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if !a.Accepts(mrClass, explicitLE) || a.Accepts(mrClass, implicitLE) || a.Accepts("1.2.840.10008.5.1.4.1.1.7", explicitLE) {
		t.Error("the contexts are not those agreed upon")
	}
	var want [][32]byte
	for _, n := range []int{0, 1, 2, 4088, 4089, 4090, 4091, 8180, 8181, 300_000} {
		b := make([]byte, n)
		rand.NewChaCha8([32]byte{byte(n)}).Read(b)
		want = append(want, sha256.Sum256(b))
		status, err := a.Store(t.Context(), mrClass, "1.2.3", explicitLE, bytes.NewReader(b))
		if err != nil || status != dicomnet.Success {
			t.Fatalf("%d bytes: %v, %v", n, status, err)
		}
	}
	if err := a.Release(t.Context()); err != nil {
		t.Error(err)
	}
	for i := range want {
		if k.sums[i] != want[i] {
			t.Errorf("object %d arrived otherwise", i)
		}
	}
	if r := k.requests[0]; r != (dicomnet.StoreRequest{SOPClass: mrClass, SOPInstance: "1.2.3", TransferSyntax: explicitLE, CallingTitle: "PEER"}) {
		t.Errorf("%+v", r)
	}
}

func TestTheStorersWordIsThePeersAndTheAssociationGoesOn(t *testing.T) {
	k := &keeper{unread: true, answer: dicomnet.OutOfResources}
	address, log := serve(t, dicomnet.Server{SOPClasses: []string{mrClass}, TransferSyntaxes: []string{explicitLE}, Storer: k})
	a, err := requestor(address).Dial(t.Context(), proposals...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if status, err := a.Store(t.Context(), mrClass, "1.2.3", explicitLE, bytes.NewReader(make([]byte, 1<<20))); err != nil || status != dicomnet.OutOfResources || status.OK() {
			t.Fatalf("%v, %v", status, err)
		}
	}
	if err := a.Release(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, func() bool {
		return log.FilterMessage("DICOM association released").FilterField(zap.Int("objects", 0)).Len() == 1
	})
}

func TestOnlyWhoMayCallGetsAnAssociation(t *testing.T) {
	address, _ := serve(t, dicomnet.Server{CallingTitles: []string{"PEER"}})
	for _, tt := range []struct {
		name     string
		change   func(*dicomnet.Requestor)
		rejected dicomnet.RejectedError // zero: accepted
	}{
		{"the right titles", func(*dicomnet.Requestor) {}, dicomnet.RejectedError{}},
		{"another called title", func(r *dicomnet.Requestor) { r.CalledTitle = "OTHER" }, dicomnet.RejectedError{Result: 1, Source: 1, Reason: 7}},
		{"another calling title", func(r *dicomnet.Requestor) { r.CallingTitle = "peer" }, dicomnet.RejectedError{Result: 1, Source: 1, Reason: 3}},
		{"titles with signs", func(r *dicomnet.Requestor) { r.CallingTitle = "é\xff" }, dicomnet.RejectedError{Result: 1, Source: 1, Reason: 3}},
	} {
		r := requestor(address)
		tt.change(&r)
		a, err := r.Dial(t.Context(), proposals[0])
		var rejected *dicomnet.RejectedError
		switch {
		case tt.rejected == dicomnet.RejectedError{}:
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			if err := a.Release(t.Context()); err != nil {
				t.Error(err)
			}
		case !errors.As(err, &rejected) || *rejected != tt.rejected:
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	elsewhere, log := serve(t, dicomnet.Server{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if _, err := requestor(elsewhere).Dial(t.Context(), proposals[0]); err == nil {
		t.Error("a peer calls from an address that is not allowed")
	}
	await(t, func() bool { return log.FilterMessageSnippet("address is not allowed").Len() == 1 })
	here, _ := serve(t, dicomnet.Server{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	a, err := requestor(here).Dial(t.Context(), proposals[0])
	if err != nil {
		t.Fatal(err)
	}
	a.Abort()
}

func TestThereAreNoMoreAssociationsThanAllowed(t *testing.T) {
	address, _ := serve(t, dicomnet.Server{MaxAssociations: 2})
	var open []*dicomnet.Association
	for range 2 {
		a, err := requestor(address).Dial(t.Context(), proposals[0])
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, a)
	}
	var rejected *dicomnet.RejectedError
	if _, err := requestor(address).Dial(t.Context(), proposals[0]); !errors.As(err, &rejected) || *rejected != (dicomnet.RejectedError{Result: 2, Source: 3, Reason: 2}) {
		t.Fatalf("the third association: %v", err)
	}
	if err := open[0].Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { // the place is free a moment later
		a, err := requestor(address).Dial(t.Context(), proposals[0])
		if err == nil {
			a.Abort()
		}
		return err == nil
	})
	open[1].Abort()
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to pass")
		}
	}
}

// TestAPeerThatBreaksTheProtocolIsAborted plays peers as no library lets one.
func TestAPeerThatBreaksTheProtocolIsAborted(t *testing.T) {
	k := &keeper{}
	address, log := serve(t, dicomnet.Server{SOPClasses: []string{mrClass}, TransferSyntaxes: []string{explicitLE}, Storer: k, Timeout: 20 * time.Second})
	request := (&pdu.Association{Called: "BRAINSEG", Calling: "PEER", Contexts: []pdu.Presentation{{ID: 1, Abstract: mrClass, Transfer: []string{explicitLE}}}}).Encode(pdu.AssociateRQ)
	command := func(c pdu.Command) []byte {
		return pdu.AppendData(nil, pdu.Fragment{Context: 1, Command: true, Last: true, Data: c.Encode()})
	}
	store := command(pdu.Command{Field: pdu.Store, ID: 1, HasData: true, SOPClass: mrClass, SOPInstance: "1.2"})
	piece := func(context byte, last bool) []byte {
		return pdu.AppendData(nil, pdu.Fragment{Context: context, Last: last, Data: []byte("data")})
	}
	release := pdu.Append(nil, pdu.ReleaseRQ, make([]byte, 4))
	for name, sent := range map[string][][]byte{
		"data before an association":        {piece(1, true)},
		"two requests":                      {request, request},
		"nonsense":                          {[]byte("GET / HTTP/1.1\r\n\r\n")},
		"a huge PDU":                        {request, {4, 0, 0xff, 0xff, 0xff, 0xff}},
		"a fragment longer than its PDU":    {request, {4, 0, 0, 0, 0, 6, 0, 0, 0, 9, 1, 3}},
		"data without a command":            {request, piece(1, true)},
		"a context that was not agreed on":  {request, store[:len(store):len(store)], piece(3, true)},
		"a command within data":             {request, store, piece(1, false), store},
		"a release within data":             {request, store, piece(1, false), release},
		"a response to nothing":             {request, command(pdu.Command{Field: pdu.Echo | pdu.Response, ID: 1})},
		"a command of a megabyte":           {request, bytes.Repeat(pdu.AppendData(nil, pdu.Fragment{Context: 1, Command: true, Data: make([]byte, 1000)}), 1000)},
		"a command in a context of nothing": {request, pdu.AppendData(nil, pdu.Fragment{Context: 9, Command: true, Last: true, Data: pdu.Command{Field: pdu.Echo}.Encode()})},
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		written := make(chan struct{})
		go func() {
			defer close(written)
			c.Write(bytes.Join(sent, nil))
		}()
		got, _ := io.ReadAll(c)
		c.Close()
		<-written
		if len(got) < 10 || !bytes.Equal(got[len(got)-10:len(got)-3], []byte{7, 0, 0, 0, 0, 4, 0}) || got[len(got)-2] != 2 {
			t.Errorf("%s: the answer ends in % x, which is no A-ABORT by the provider", name, got[max(0, len(got)-10):])
		}
	}
	await(t, func() bool { return log.FilterMessage("DICOM association aborted").Len() == 12 })
	// Two of them were within an object, and neither was taken for a whole one.
	if len(k.sums) != 0 {
		t.Errorf("%d objects were stored", len(k.sums))
	}
	for _, entry := range log.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "GET") {
			t.Errorf("what the peer sent is logged: %s", text)
		}
	}
}

func TestASilentPeerIsDropped(t *testing.T) {
	k := &keeper{}
	address, log := serve(t, dicomnet.Server{SOPClasses: []string{mrClass}, TransferSyntaxes: []string{explicitLE}, Storer: k, Timeout: 50 * time.Millisecond, MaxAssociations: 2})
	request := (&pdu.Association{Called: "BRAINSEG", Calling: "PEER", Contexts: []pdu.Presentation{{ID: 1, Abstract: mrClass, Transfer: []string{explicitLE}}}}).Encode(pdu.AssociateRQ)
	for _, sent := range [][]byte{nil, request[:10], request, append(request, 4, 0, 0, 0, 1, 0)} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d bytes the peer is waited for", len(sent))
		}
		c.Close()
	}
	await(t, func() bool { return log.FilterMessage("DICOM association lost").Len() == 4 })
}

func TestAnObjectThatIsCutOffIsNotWhole(t *testing.T) {
	k := &keeper{}
	address, _ := serve(t, dicomnet.Server{SOPClasses: []string{mrClass}, TransferSyntaxes: []string{explicitLE}, Storer: k})
	a, err := requestor(address).Dial(t.Context(), proposals[1])
	if err != nil {
		t.Fatal(err)
	}
	failing := io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), errorReader{})
	if _, err := a.Store(t.Context(), mrClass, "1.2.3", explicitLE, failing); err == nil {
		t.Error("half an object was sent")
	}
	a.Abort()
	await(t, func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.cut == 1 })
	if len(k.sums) > 0 {
		t.Error("half an object was stored")
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("the disk fails") }

func TestAServerThatEndsAbortsItsAssociations(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	s := dicomnet.Server{Title: "BRAINSEG"}
	go func() { ended <- s.Serve(ctx, l) }()
	a, err := requestor(l.Addr().String()).Dial(t.Context(), proposals[0])
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := a.Echo(t.Context()); err == nil {
		t.Error("the association outlives its server")
	}
	a.Abort()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errors.New("no more")) })
	if _, err := requestor(l.Addr().String()).Dial(ctx, proposals[0]); err == nil || !strings.Contains(err.Error(), "no more") {
		t.Errorf("%v", err)
	}
}

func TestTitlesAreChecked(t *testing.T) {
	for title, good := range map[string]bool{"BRAINSEG": true, "A": true, "SIXTEEN LETTERS.": true, "": false, "  ": false, "SEVENTEEN LETTERS": false, "A\\B": false, "é": false, "A\n": false} {
		if err := dicomnet.CheckTitle(title); (err == nil) != good {
			t.Errorf("%q: %v", title, err)
		}
	}
}
