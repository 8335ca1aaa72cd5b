package records

import (
	"bytes"
	"testing"
)

func FuzzRecords(f *testing.F) {
	f.Add((&Request{ID: "a", Way: "ipc", Client: "c", Document: 3}).encode())
	f.Add((&Answer{ID: "a", Finished: 5}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, r2 Request
		if rest, err := r.decode(b); err == nil {
			if got, err := r2.decode(append(r.encode(), rest...)); err != nil || r2 != r || !bytes.Equal(got, rest) {
				t.Errorf("request: %+v, written and read again %+v, error %v", r, r2, err)
			}
		}
		var a, a2 Answer
		if rest, err := a.decode(b); err == nil {
			if got, err := a2.decode(append(a.encode(), rest...)); err != nil || a2 != a || !bytes.Equal(got, rest) {
				t.Errorf("answer: %+v, written and read again %+v, error %v", a, a2, err)
			}
		}
		var d, d2 delivery
		if err := d.decode(b); err == nil {
			if err := d2.decode(d.encode()); err != nil || d2 != d {
				t.Errorf("delivery: %+v, written and read again %+v, error %v", d, d2, err)
			}
		}
	})
}
