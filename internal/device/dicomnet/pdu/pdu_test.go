package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsEncodedIsReadBack(t *testing.T) {
	request := &Association{
		Version: 1, Called: "BRAINSEG", Calling: "A PEER", Application: ApplicationContext, MaxData: 16384,
		Contexts: []Presentation{
			{ID: 1, Abstract: "1.2.840.10008.1.1", Transfer: []string{"1.2.840.10008.1.2"}},
			{ID: 255, Abstract: "1.2.3", Transfer: []string{"1.2.840.10008.1.2.1", "1.2.840.10008.1.2"}},
		},
	}
	answer := &Association{
		Version: 1, Called: "BRAINSEG", Calling: "A PEER", Application: ApplicationContext,
		Contexts: []Presentation{{ID: 1, Transfer: []string{"1.2.840.10008.1.2"}}, {ID: 255, Result: TransferSyntaxesNotSupported, Transfer: []string{"1.2.840.10008.1.2"}}},
	}
	for kind, a := range map[Type]*Association{AssociateRQ: request, AssociateAC: answer} {
		var buf bytes.Buffer
		got, body, err := Read(bytes.NewReader(a.Encode(kind)), &buf, 0)
		if err != nil || got != kind {
			t.Fatalf("type %d, %v", got, err)
		}
		back, err := ParseAssociation(kind, body)
		if diff := cmp.Diff(a, back); diff != "" || err != nil {
			t.Errorf("type %d, error %v (-sent +read):\n%s", kind, err, diff)
		}
	}
	for _, c := range []Command{
		{Field: Echo, ID: 7, SOPClass: "1.2.840.10008.1.1"},
		{Field: Store, ID: 65535, HasData: true, SOPClass: "1.2.3", SOPInstance: "2.25.12"},
		{Field: Store | Response, ID: 1, Status: 0xa700, SOPClass: "1.2.3", SOPInstance: "2.25.1"},
	} {
		back, err := ParseCommand(c.Encode())
		if diff := cmp.Diff(c, back); diff != "" || err != nil {
			t.Errorf("error %v (-sent +read):\n%s", err, diff)
		}
	}
	sent := []Fragment{{Context: 3, Command: true, Data: []byte("ab")}, {Context: 3, Last: true, Data: []byte("cd")}}
	var data []byte
	for _, f := range sent {
		data = append(data, AppendData(nil, f)[6:]...) // several in one P-DATA
	}
	for _, want := range sent {
		var got Fragment
		var err error
		if got, data, err = CutFragment(data); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-sent +read):\n%s", diff)
		}
	}
	if len(data) > 0 {
		t.Errorf("%d bytes are left", len(data))
	}
}

func TestNoLengthIsBelieved(t *testing.T) {
	pdu := func(kind Type, length uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{byte(kind), 0}, length), body...)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string // of a protocol error; "" for another
	}{
		{"a huge P-DATA", pdu(Data, 0xffffffff, ""), "at most 100 are taken"},
		{"a P-DATA of one byte too many", pdu(Data, 101, strings.Repeat("x", 101)), "at most 100 are taken"},
		{"a huge request", pdu(AssociateRQ, 1<<31, ""), "at most 524288 are taken"},
		{"a long release", pdu(ReleaseRQ, 5, "12345"), "has 5 bytes instead of 4"},
		{"a short abort", pdu(Abort, 0, ""), "has 0 bytes instead of 4"},
		{"an unknown type", pdu(8, 4, "1234"), "no PDU of type 8"},
		{"an end within a body", pdu(Data, 100, "x"), ""},
		{"an end within a header", []byte{4, 0, 0}, ""},
	} {
		var buf bytes.Buffer
		_, _, err := Read(bytes.NewReader(tt.in), &buf, 100)
		var breach ProtocolError
		if err == nil || errors.As(err, &breach) != (tt.want != "") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if buf.Cap() > 4096 {
			t.Errorf("%s takes %d bytes", tt.name, buf.Cap())
		}
	}
}

func TestMalformedItemsAreRefused(t *testing.T) {
	fixed := make([]byte, associateFixed)
	item := func(kind byte, value string) string {
		return string(appendItem(nil, kind, []byte(value)))
	}
	transfers := strings.Repeat(item(itemTransfer, "1.2"), maxTransfers+1)
	for name, items := range map[string]string{
		"cut off":                  "\x10\x00\x00",
		"longer than the rest":     "\x10\x00\x00\x05abcd",
		"an even context":          item(itemContextRQ, "\x02\x00\x00\x00"),
		"a context twice":          strings.Repeat(item(itemContextRQ, "\x01\x00\x00\x00"), 2),
		"a context of three bytes": item(itemContextRQ, "\x01\x00\x00"),
		"too many syntaxes":        item(itemContextRQ, "\x01\x00\x00\x00"+transfers),
		"a length of two bytes":    item(itemUser, item(itemMaxLength, "\x00\x01")),
		"a user item cut off":      item(itemUser, "\x51\x00\x00"),
	} {
		var breach ProtocolError
		if _, err := ParseAssociation(AssociateRQ, append(fixed, items...)); !errors.As(err, &breach) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseAssociation(AssociateRQ, fixed[1:]); err == nil {
		t.Error("a request that is too short is taken")
	}
	whole := Command{Field: Store, ID: 1, HasData: true, SOPClass: "1.2.840.10008.5.1.4.1.1.4", SOPInstance: "1.2"}.Encode()
	for n := range whole {
		if c, err := ParseCommand(whole[:n]); err == nil && (c.Field != Store || !c.HasData) {
			t.Errorf("a command of %d of %d bytes is taken as %+v", n, len(whole), c)
		}
	}
}

// FuzzPDU reads whatever a peer may send as a sequence of PDUs.
func FuzzPDU(f *testing.F) {
	f.Add((&Association{Called: "A", Calling: "B", Contexts: []Presentation{{ID: 1, Abstract: "1.2", Transfer: []string{"1.3"}}}}).Encode(AssociateRQ))
	f.Add((&Association{Called: "A", Calling: "B", Contexts: []Presentation{{ID: 1, Transfer: []string{"1.3"}}}}).Encode(AssociateAC))
	f.Add((&Association{Called: "é", Calling: "\xff"}).Encode(AssociateRQ))
	f.Add(AppendData(nil, Fragment{Context: 1, Command: true, Last: true, Data: Command{Field: Echo, ID: 1, SOPClass: "1.2"}.Encode()}))
	f.Add(Append(Append(nil, ReleaseRQ, make([]byte, 4)), Abort, make([]byte, 4)))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 10
		r := bytes.NewReader(in)
		var buf bytes.Buffer
		for {
			kind, body, err := Read(r, &buf, limit)
			if err != nil {
				return
			}
			if len(body) > len(in) || kind == Data && len(body) > limit {
				t.Fatalf("a body of %d bytes", len(body))
			}
			switch kind {
			case AssociateRQ, AssociateAC:
				a, err := ParseAssociation(kind, body)
				if err != nil {
					continue
				}
				// What is understood is understood again, once encoded.
				a.Version, a.Application = 1, ApplicationContext
				for i := range a.Contexts {
					if kind == AssociateAC {
						a.Contexts[i].Abstract = ""
					}
				}
				again, err := ParseAssociation(kind, a.Encode(kind)[6:])
				if diff := cmp.Diff(a, again); diff != "" || err != nil {
					t.Fatalf("error %v (-first +second):\n%s", err, diff)
				}
			case Data:
				for rest := body; len(rest) > 0; {
					var f Fragment
					if f, rest, err = CutFragment(rest); err != nil {
						break
					}
					if c, err := ParseCommand(f.Data); err == nil {
						if again, err := ParseCommand(c.Encode()); err != nil || again.Field != c.Field || again.HasData != c.HasData {
							t.Fatalf("%+v is read back as %+v, %v", c, again, err)
						}
					}
				}
			}
		}
	})
}
