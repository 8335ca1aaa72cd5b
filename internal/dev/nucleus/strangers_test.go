package nucleus

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
)

func TestFramesBeforeTheTokenAreSmall(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		for _, size := range []uint32{strangerFrame + 1, 20 << 20} {
			c := dial(t, n)
			prelude := binary.BigEndian.AppendUint32(nil, size)
			prelude = binary.BigEndian.AppendUint32(prelude, 0)
			prelude = binary.BigEndian.AppendUint32(prelude, crc32.ChecksumIEEE(prelude))
			if _, err := c.conn.Write(prelude); err != nil {
				t.Fatal(err)
			}
			c.closed() // at once, though the frame has not come
		}
		c := connect(t, n, "com.example.A")
		if p == Classic { // whose frames are large once it is known who sends them
			c.succeed("PublishToTopic", publish("t", `"binaryMessage":{"message":"`+strings.Repeat("AAAA", strangerFrame)+`"}`))
		}
	})
}

func TestConnectionsWithoutATokenAreBoundedInNumberAndTime(t *testing.T) {
	n := pair(t, Options{})
	n.mu.Lock()
	n.strangerTime = 2 * time.Second
	n.mu.Unlock()
	known := connect(t, n, "com.example.A")
	var silent []*client
	for range strangers {
		silent = append(silent, dial(t, n))
	}
	eventually(t, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.strangers == strangers })
	dial(t, n).closed() // one too many
	for _, c := range silent {
		c.closed() // when its time is over
	}
	eventually(t, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.strangers == 0 })
	known.succeed("GetConfiguration", `{"keyPath":[]}`)
	connect(t, n, "com.example.A").succeed("GetConfiguration", `{"keyPath":[]}`)
	refused := dial(t, n)
	refused.greet("AAAAAAAAAAAAAAAA")
	if f := refused.read(); f.Type != frame.ConnectAck {
		t.Errorf("got %+v", f)
	}
	refused.closed()
	eventually(t, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.strangers == 0 })
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
