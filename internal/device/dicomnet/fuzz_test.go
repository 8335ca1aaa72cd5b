package dicomnet

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
)

// counter counts what it gets.
type counter struct{ whole, bytes int }

func (c *counter) Store(_ context.Context, _ StoreRequest, data io.Reader) Status {
	n, err := io.Copy(io.Discard, data)
	c.bytes += int(n)
	if err == nil {
		c.whole++
	}
	return Success
}

// FuzzConversation has a peer say anything, and hang up.
func FuzzConversation(f *testing.F) {
	const class, syntax = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1"
	request := (&pdu.Association{Called: "BRAINSEG", Calling: "PEER", Contexts: []pdu.Presentation{
		{ID: 1, Abstract: VerificationClass, Transfer: []string{implicitLE}}, {ID: 3, Abstract: class, Transfer: []string{syntax}},
	}}).Encode(pdu.AssociateRQ)
	command := func(context byte, c pdu.Command) []byte {
		return pdu.AppendData(nil, pdu.Fragment{Context: context, Command: true, Last: true, Data: c.Encode()})
	}
	echo := command(1, pdu.Command{Field: pdu.Echo, ID: 1, SOPClass: VerificationClass})
	store := slices.Concat(command(3, pdu.Command{Field: pdu.Store, ID: 2, HasData: true, SOPClass: class, SOPInstance: "1.2"}),
		pdu.AppendData(nil, pdu.Fragment{Context: 3, Data: []byte("0123")}), pdu.AppendData(nil, pdu.Fragment{Context: 3, Last: true, Data: []byte("4567")}))
	release := pdu.Append(nil, pdu.ReleaseRQ, make([]byte, 4))
	f.Add(slices.Concat(request, echo, store, release))
	f.Add(slices.Concat(request, store[:len(store)-3]))
	f.Add(slices.Concat(request, command(3, pdu.Command{Field: 0x20, ID: 2, HasData: true, SOPClass: class}), store))
	f.Add(slices.Concat(request, pdu.Append(nil, pdu.Abort, make([]byte, 4))))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		k := &counter{}
		s := &Server{Title: "BRAINSEG", SOPClasses: []string{class}, TransferSyntaxes: []string{syntax}, Storer: k, MaxPDU: minMaxPDU, Timeout: 10 * time.Second, Logger: zap.NewNop()}
		over := make(chan struct{})
		go func() { defer close(over); s.serve(t.Context(), ours, false) }()
		heard := make(chan struct{})
		go func() { defer close(heard); io.Copy(io.Discard, theirs) }()
		theirs.Write(said) // fails where the server has hung up
		theirs.Close()
		<-over
		<-heard
		if k.bytes > len(said) || k.whole > 0 && !bytes.Contains(said, []byte("BRAINSEG")) {
			t.Errorf("%d bytes in %d objects of %d that were said", k.bytes, k.whole, len(said))
		}
	})
}

// FuzzImplicit converts anything: it must come to an end, with no more than it got.
func FuzzImplicit(f *testing.F) {
	f.Add([]byte("\x08\x00\x16\x00UI\x04\x001.2\x00"))
	f.Add([]byte("\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x16\x00UI\x04\x001.2\x00\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"))
	f.Add([]byte("\xe0\x7f\x10\x00OW\x00\x00\x02\x00\x00\x0001"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		if err := Implicit(&out, bufio.NewReader(bytes.NewReader(in))); err == nil && out.Len() > len(in) {
			t.Errorf("%d bytes of %d", out.Len(), len(in))
		}
	})
}
