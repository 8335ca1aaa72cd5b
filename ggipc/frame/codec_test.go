package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorded is one frame of a recorded conversation with a real server.
type recorded struct {
	Headers map[string]any
	Payload string
	Frame   string
}

func readRecordings(t testing.TB) []recorded {
	t.Helper()
	files, err := filepath.Glob("../testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("recorded conversations: %d files, %v", len(files), err)
	}
	var all []recorded
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for lines := json.NewDecoder(bytes.NewReader(data)); ; {
			var r recorded
			if err := lines.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if r.Frame != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// build makes a frame of raw headers with correct checksums.
func build(headers, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(overhead+len(headers)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func mandatory(stream int32) []byte {
	var b []byte
	for name, value := range map[string]int32{HeaderType: 0, HeaderFlags: 0, HeaderStreamID: stream} {
		b = append(append(append(b, byte(len(name))), name...), 4)
		b = binary.BigEndian.AppendUint32(b, uint32(value))
	}
	return b
}

func TestReadUnderstandsEveryRecordedFrame(t *testing.T) {
	for i, r := range readRecordings(t) {
		data, err := hex.DecodeString(r.Frame)
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewReader(iotest.OneByteReader(bytes.NewReader(data)), 0).Read()
		missing := r.Headers[HeaderType] == nil || r.Headers[HeaderFlags] == nil || r.Headers[HeaderStreamID] == nil
		switch {
		case missing && (errors.Is(err, ErrMissingHeader) || errors.Is(err, ErrCorrupt)):
			continue
		case missing || err != nil:
			t.Fatalf("frame %d with headers %v: %v", i, r.Headers, err)
		}
		got := map[string]any{HeaderType: float64(f.Type), HeaderFlags: float64(f.Flags), HeaderStreamID: float64(f.StreamID)}
		for name, value := range f.Headers {
			got[name] = value
		}
		if diff := cmp.Diff(r.Headers, got); diff != "" {
			t.Errorf("frame %d: headers (-recorded +read):\n%s", i, diff)
		}
		if string(f.Payload) != r.Payload {
			t.Errorf("frame %d: payload %q, want %q", i, f.Payload, r.Payload)
		}
	}
}

func TestEncodedFramesAreReadBackUnchanged(t *testing.T) {
	frames := []*Frame{
		{Type: Connect, Headers: map[string]string{HeaderVersion: "0.1.0"}, Payload: []byte(`{"authToken":"x"}`)},
		{Type: ApplicationMessage, Flags: TerminateStream, StreamID: 1<<31 - 1},
		{Type: ApplicationMessage, StreamID: -5, Headers: map[string]string{"a": "", "b": strings.Repeat("x", 32767)}, Payload: bytes.Repeat([]byte{0}, 1<<20)},
	}
	var stream []byte
	for _, f := range frames {
		var err error
		if stream, err = Encode(stream, f, 0); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(bytes.NewReader(stream), 0)
	for _, want := range frames {
		got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want.Payload, got.Payload) { // cmp takes seconds for a large one
			t.Error("the payload is another")
		}
		want.Payload, got.Payload = nil, nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: got %v, want io.EOF", err)
	}
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	f := &Frame{StreamID: 1, Payload: make([]byte, 100)}
	b, err := Encode(nil, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(nil, f, len(b)); err != nil {
		t.Errorf("a frame of exactly the limit: %v", err)
	}
	prefix := []byte("kept")
	got, err := Encode(prefix, f, len(b)-1)
	var tooLarge *TooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Size != int64(len(b)) || tooLarge.Limit != len(b)-1 {
		t.Errorf("a byte above the limit: got %v", err)
	}
	if string(got) != "kept" {
		t.Errorf("destination after a refusal: %q", got)
	}
	if got, err := Encode(prefix, &Frame{Headers: map[string]string{"a": strings.Repeat("x", 32768)}}, 0); err == nil || string(got) != "kept" {
		t.Errorf("a header value of 32768 bytes: got %v", err)
	}
}

func TestReadRefusesBrokenFrames(t *testing.T) {
	good := build(mandatory(1), []byte("{}"))
	changed := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	prelude := func(total, headers uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, total)
		b = binary.BigEndian.AppendUint32(b, headers)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	typed := append([]byte{13}, ":message-type"...)
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"half a prelude", good[:7], io.ErrUnexpectedEOF},
		{"half a frame", good[:30], io.ErrUnexpectedEOF},
		{"all but the last byte", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"prelude changed", changed(2), ErrCorrupt},
		{"prelude checksum changed", changed(9), ErrCorrupt},
		{"header changed", changed(14), ErrCorrupt},
		{"payload changed", changed(len(good) - 5), ErrCorrupt},
		{"checksum changed", changed(len(good) - 1), ErrCorrupt},
		{"total below the overhead", prelude(15, 0), ErrCorrupt},
		{"headers longer than the frame", prelude(20, 5), ErrCorrupt},
		{"headers longer than any", prelude(1<<20, MaxHeaders+1), ErrCorrupt},
		{"headers of 4 GiB", prelude(100, 1<<32-1), ErrCorrupt},
		{"header cut off", build([]byte{200, 'a'}, nil), ErrCorrupt},
		{"header of an unknown type", build([]byte{1, 'a', 99}, nil), ErrCorrupt},
		{"no headers", build(nil, nil), ErrMissingHeader},
		{"type as a string", build(append(typed, 7, 0, 1, '0'), nil), ErrMissingHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := NewReader(bytes.NewReader(test.data), 0).Read(); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestReadNamesHeadersOfForeignTypes(t *testing.T) {
	headers := append(mandatory(1), 1, 'b', 0)         // true
	headers = append(headers, 1, 'i', 4, 0, 0, 0, 1)   // int32 that the protocol does not name
	headers = append(headers, 1, 'd', 6, 0, 2, 'x', 0) // bytes
	f, err := NewReader(bytes.NewReader(build(headers, nil)), 0).Read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "i", "d"}, f.Foreign); diff != "" {
		t.Errorf("foreign headers (-want +got):\n%s", diff)
	}
}

func TestReadHoldsItsLimitBeforeItAllocates(t *testing.T) {
	f := &Frame{StreamID: 1, Payload: make([]byte, 5000)}
	data, err := Encode(nil, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(bytes.NewReader(data), len(data)).Read(); err != nil {
		t.Errorf("a frame of exactly the limit: %v", err)
	}
	var tooLarge *TooLargeError
	if _, err := NewReader(bytes.NewReader(data), len(data)-1).Read(); !errors.As(err, &tooLarge) {
		t.Errorf("a byte above the limit: got %v", err)
	}
	huge := binary.BigEndian.AppendUint32(nil, 1<<32-1)
	huge = binary.BigEndian.AppendUint32(huge, 0)
	huge = binary.BigEndian.AppendUint32(huge, crc32.ChecksumIEEE(huge))
	if allocated := allocation(func() { NewReader(bytes.NewReader(huge), 0).Read() }); allocated > 64<<10 {
		t.Errorf("a frame that says it has 4 GiB made Read allocate %d bytes", allocated)
	}
}

// What counts is the work, which a busy machine does not change: the processor
// time of this thread.
func TestReadIsQuickWithAsManyHeadersAsFit(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	headers := mandatory(1)
	for i := 0; len(headers) < MaxHeaders-16; i++ {
		name := fmt.Sprintf("%x", i)
		headers = append(append(append(headers, byte(len(name))), name...), 0)
	}
	data := build(headers, nil)
	start := threadTime(t)
	if _, err := NewReader(bytes.NewReader(data), 0).Read(); err != nil {
		t.Fatal(err)
	}
	if d := threadTime(t) - start; d > time.Minute {
		t.Errorf("took %v of processor time", d)
	} else {
		t.Logf("took %v of processor time", d)
	}
}

// threadTime returns the processor time that the calling thread has used.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// allocation returns how many bytes a function allocates.
func allocation(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzReader reads arbitrary bytes as frames: it never panics, never allocates
// more than the limit allows, and what it read is written and read back alike.
func FuzzReader(f *testing.F) {
	for _, r := range readRecordings(f) {
		if data, err := hex.DecodeString(r.Frame); err == nil && len(data) < 1000 {
			f.Add(data)
		}
	}
	f.Add(build(append(mandatory(1), 1, 'b', 0), nil))
	const limit = 10012
	f.Fuzz(func(t *testing.T, data []byte) {
		fixChecksums(data)
		var frames []*Frame
		allocated := allocation(func() {
			for r := NewReader(bytes.NewReader(data), limit); ; {
				frame, err := r.Read()
				if err != nil {
					return
				}
				frames = append(frames, frame)
			}
		})
		// The reader's buffer and, for each frame, its bytes, its payload and
		// headers that take many times their size in the frame.
		if bound := uint64(64<<10 + 200*len(data) + 2*limit); allocated > bound {
			t.Errorf("%d bytes of input made Read allocate %d, more than %d", len(data), allocated, bound)
		}
		for _, want := range frames {
			encoded, err := Encode(nil, want, 0)
			if err != nil {
				continue // headers that may be read but not written, as a name of 0 bytes
			}
			got, err := NewReader(bytes.NewReader(encoded), 0).Read()
			if err != nil {
				t.Fatalf("encoded frame: %v", err)
			}
			want.Foreign = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-read +written and read):\n%s", diff)
			}
		}
	})
}

// fixChecksums sets the checksums of the first frame in data, if its lengths
// fit, so that fuzzing reaches what lies behind them.
func fixChecksums(data []byte) {
	if len(data) < overhead {
		return
	}
	total := binary.BigEndian.Uint32(data)
	if total < overhead || int64(total) > int64(len(data)) {
		return
	}
	binary.BigEndian.PutUint32(data[8:], crc32.ChecksumIEEE(data[:8]))
	binary.BigEndian.PutUint32(data[total-4:], crc32.ChecksumIEEE(data[:total-4]))
}
