package nucleus

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

func TestHandshakeIsRefusedAsEachNucleusDoes(t *testing.T) {
	connectFrame := func(version, payload string) *frame.Frame {
		return &frame.Frame{Type: frame.Connect, Headers: map[string]string{frame.HeaderVersion: version}, Payload: []byte(payload)}
	}
	tests := []struct {
		name  string
		frame func(token string) *frame.Frame
		want  frame.Type // classic: what comes before the end
	}{
		{"wrong token", func(string) *frame.Frame { return connectFrame("0.1.0", `{"authToken":"AAAAAAAAAAAAAAAA"}`) }, frame.ConnectAck},
		{"empty token", func(string) *frame.Frame { return connectFrame("0.1.0", `{"authToken":""}`) }, frame.ConnectAck},
		{"no token", func(string) *frame.Frame { return connectFrame("0.1.0", `{}`) }, frame.ConnectAck},
		{"token is a number", func(string) *frame.Frame { return connectFrame("0.1.0", `{"authToken":1}`) }, frame.ConnectAck},
		{"no JSON", func(string) *frame.Frame { return connectFrame("0.1.0", `x`) }, frame.ConnectAck},
		{"wrong version", func(token string) *frame.Frame { return connectFrame("0.2.0", `{"authToken":"`+token+`"}`) }, frame.ConnectAck},
		{"name without a token", func(string) *frame.Frame { return connectFrame("0.1.0", `{"componentName":"com.example.A"}`) }, frame.ConnectAck},
		{"request first", func(string) *frame.Frame {
			return &frame.Frame{StreamID: 1, Headers: map[string]string{frame.HeaderOperation: operation.ModelPrefix + "GetConfiguration"}, Payload: []byte("{}")}
		}, frame.ProtocolError},
		{"ping first", func(string) *frame.Frame { return &frame.Frame{Type: frame.Ping} }, frame.ProtocolError},
	}
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := dial(t, n)
				c.write(test.frame(n.Token("com.example.A")))
				if p == Classic {
					if f := c.read(); f.Type != test.want || f.Flags != 0 {
						t.Errorf("got %+v, want type %d with flags 0", f, test.want)
					}
				}
				c.closed()
			})
		}
		connect(t, n, "com.example.A").succeed("GetConfiguration", `{"keyPath":[]}`)
	})
}

func TestBrokenProtocolEndsTheConnectionAndNoOther(t *testing.T) {
	request := func(id int32) *frame.Frame {
		return &frame.Frame{StreamID: id, Headers: map[string]string{frame.HeaderOperation: operation.ModelPrefix + "GetConfiguration"}, Payload: []byte(`{"keyPath":[]}`)}
	}
	tests := []struct {
		name    string
		frame   *frame.Frame
		classic string // in the protocol error, "" where it ends silently
		lite    bool   // it goes on
	}{
		{"first id is 2", request(2), "incremented by more than 1", true},
		{"negative id", request(-1), "max value is INT32_MAX", true},
		{"stream without operation", &frame.Frame{StreamID: 1, Payload: []byte("{}")}, "operation header", true},
		{"request on stream 0", request(0), "message-type", false},
		{"connect again", &frame.Frame{Type: frame.Connect, Payload: []byte("{}")}, "message-type", false},
		{"ping on stream 1", &frame.Frame{Type: frame.Ping, StreamID: 1}, "APPLICATION_MESSAGE", true},
		{"unknown type", &frame.Frame{Type: 42}, "message-type", false},
		{"protocol error", &frame.Frame{Type: frame.ProtocolError}, "", false},
	}
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		bystander := connect(t, n, "com.example.B")
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				c := connect(t, n, "com.example.A")
				c.write(test.frame)
				switch {
				case p == Lite && test.lite:
					if f := c.read(); f.StreamID != test.frame.StreamID {
						t.Errorf("got %+v, want an answer on stream %d", f, test.frame.StreamID)
					}
					return
				case p == Classic && test.classic != "":
					f := c.read()
					if f.Type != frame.ProtocolError || f.StreamID != 0 || !strings.Contains(string(f.Payload), test.classic) {
						t.Errorf("got %+v %s, want a protocol error about %q", f, f.Payload, test.classic)
					}
				}
				c.closed()
			})
		}
		bystander.succeed("GetConfiguration", `{"keyPath":[]}`)
	})
}

func TestPingIsAnsweredByClassicAndEndsLite(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		c := connect(t, pair(t, Options{Profile: p}), "com.example.A")
		c.write(&frame.Frame{Type: frame.Ping, Headers: map[string]string{"mine": "1", ":theirs": "2"}, Payload: []byte("x")})
		if p == Lite {
			c.closed()
			return
		}
		f := c.read()
		if f.Type != frame.PingResponse || string(f.Payload) != "x" || len(f.Headers) != 1 || f.Headers["mine"] != "1" {
			t.Errorf("got %+v", f)
		}
		c.write(&frame.Frame{Type: frame.PingResponse})
		c.succeed("GetConfiguration", `{}`)
	})
}

func TestFrameSizesHoldTheLimitsOfTheProfile(t *testing.T) {
	sized := func(size int) []byte {
		f := &frame.Frame{StreamID: 1, Headers: map[string]string{frame.HeaderOperation: operation.ModelPrefix + "PublishToTopic"}}
		prefix := publish("a", `"binaryMessage":{"message":"`)
		prefix = prefix[:len(prefix)-2]
		b, err := frame.Encode(nil, f, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Payload = []byte(prefix + `"}}}`)
		f.Payload = append(f.Payload, strings.Repeat(" ", size-len(b)-len(f.Payload))...)
		b, err = frame.Encode(nil, f, 0)
		if err != nil || len(b) != size {
			t.Fatal(len(b), err)
		}
		return b
	}
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		largest := map[Profile]int{Classic: frame.MaxSize, Lite: 10012}[p]
		c := connect(t, n, "com.example.A")
		c.conn.Write(sized(largest))
		if f := c.read(); f.Type != frame.ApplicationMessage {
			t.Errorf("frame of %d bytes: got %+v %s", largest, f, f.Payload)
		}
		c = connect(t, n, "com.example.A")
		prelude := binary.BigEndian.AppendUint32(nil, uint32(largest+1))
		prelude = binary.BigEndian.AppendUint32(prelude, 0)
		c.conn.Write(binary.BigEndian.AppendUint32(prelude, crc32.ChecksumIEEE(prelude)))
		c.closed()
	})
}

func TestLiteClosesOnHeadersOfForeignTypes(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		c := connect(t, pair(t, Options{Profile: p}), "com.example.A")
		headers := []byte{1, 'x', 0} // boolean true
		for name, value := range map[string]byte{frame.HeaderType: 0, frame.HeaderFlags: 0, frame.HeaderStreamID: 1} {
			headers = append(append(headers, byte(len(name))), name...)
			headers = append(headers, 4, 0, 0, 0, value)
		}
		operation := operation.ModelPrefix + "GetConfiguration"
		headers = append(append(headers, byte(len(frame.HeaderOperation))), frame.HeaderOperation...)
		headers = append(append(headers, 7, 0, byte(len(operation))), operation...)
		b := binary.BigEndian.AppendUint32(nil, uint32(16+len(headers)+2))
		b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		b = append(append(b, headers...), "{}"...)
		c.conn.Write(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
		if p == Lite {
			c.closed()
		} else if f := c.read(); f.Type != frame.ApplicationMessage {
			t.Errorf("got %+v", f)
		}
	})
}

func TestLiteClosesOnAFrameThatIsNotCompletedInTime(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		limits := p.Limits()
		limits.FrameTime = min(limits.FrameTime, time.Second)
		n, err := newWithin(Options{Profile: p, Components: []Component{{Name: "com.example.A"}}}, limits)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		idle := connect(t, n, "com.example.A")
		c := connect(t, n, "com.example.A")
		c.conn.Write([]byte{0, 0, 0})
		if p == Lite {
			c.closed()
		} else {
			c.nothing()
		}
		idle.succeed("GetConfiguration", `{}`)
	})
}

func TestUnknownOperationsAreRefusedAsEachNucleusDoes(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		c := connect(t, pair(t, Options{Profile: p}), "com.example.A")
		code, text := c.fail("ListComponents", `{}`)
		want := map[Profile]string{Classic: "Operation aws.greengrass#ListComponents is not supported by Greengrass"}[p]
		if code != operation.CodeService || text != want {
			t.Errorf("ListComponents: got %q, %q", code, text)
		}
		f := c.call("MakeTea", `{}`)
		payload := string(f.Payload)
		if p == Classic && (f.Headers[frame.HeaderServiceModelType] != "" || !strings.Contains(payload, `"error":"Unsupported Operation"`)) ||
			p == Lite && payload != `{"_errorCode":"ServiceError","_message":""}` {
			t.Errorf("MakeTea: got %v %s", f.Headers, payload)
		}
		for _, payload := range []string{"", "[]", "null", "{", "{}{}", strings.Repeat("[", 100000)} {
			want := map[Profile]string{Classic: "InternalServerError", Lite: operation.CodeService}[p]
			if len(payload) > 10000 && p == Lite {
				continue // larger than a frame
			}
			if code, _ := c.fail("GetConfiguration", payload); code != want {
				t.Errorf("payload %.10q: got %q, want %q", payload, code, want)
			}
		}
	})
}

func TestFramesBeforeTheTokenAreSmall(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		for _, size := range []int{p.Limits().StrangerFrame + 1, 20 << 20} {
			c := dial(t, n)
			prelude := binary.BigEndian.AppendUint32(nil, uint32(size))
			prelude = binary.BigEndian.AppendUint32(prelude, 0)
			prelude = binary.BigEndian.AppendUint32(prelude, crc32.ChecksumIEEE(prelude))
			if _, err := c.conn.Write(prelude); err != nil {
				t.Fatal(err)
			}
			c.closed() // at once, though the frame has not come
		}
		c := connect(t, n, "com.example.A")
		if p == Classic { // whose frames are large once it is known who sends them
			c.succeed("PublishToTopic", publish("t", `"binaryMessage":{"message":"`+strings.Repeat("AAAA", p.Limits().StrangerFrame)+`"}`))
		}
	})
}

func TestConnectionsWithoutATokenAreBoundedInNumberAndTime(t *testing.T) {
	limits := Classic.Limits()
	limits.StrangerTime = 2 * time.Second
	n, err := newWithin(Options{Components: []Component{{Name: "com.example.A"}}}, limits)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	known := connect(t, n, "com.example.A")
	var silent []*client
	for range limits.Strangers {
		silent = append(silent, dial(t, n))
	}
	eventually(t, func() bool { return n.Connected("") == limits.Strangers })
	dial(t, n).closed() // one too many
	for _, c := range silent {
		c.closed() // when its time is over
	}
	eventually(t, func() bool { return n.Connected("") == 0 })
	known.succeed("GetConfiguration", `{"keyPath":[]}`)
	connect(t, n, "com.example.A").succeed("GetConfiguration", `{"keyPath":[]}`)
	refused := dial(t, n)
	refused.greet("AAAAAAAAAAAAAAAA")
	if f := refused.read(); f.Type != frame.ConnectAck {
		t.Errorf("got %+v", f)
	}
	refused.closed()
	eventually(t, func() bool { return n.Connected("") == 0 })
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never is so")
		}
	}
}
