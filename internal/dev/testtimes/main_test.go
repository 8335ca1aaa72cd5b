package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTimesAreListedTheSlowestFirst(t *testing.T) {
	var events strings.Builder
	say := func(action, pkg, test string, elapsed float64) {
		fmt.Fprintf(&events, `{"Action":%q,"Package":"github.com/brainseg/brainseg/%s","Test":%q,"Elapsed":%v}`+"\n", action, pkg, test, elapsed)
	}
	say("run", "a", "TestQuick", 0)
	say("pass", "a", "TestQuick", 0.5)
	say("pass", "a", "TestQuick", 0.25) // the second time
	say("pass", "a", "TestSlow/part", 2)
	say("pass", "a", "TestSlow", 2.5)
	say("skip", "a", "TestOfSomethingMissing", 0)
	say("pass", "a", "", 3.5)
	for i := range 9 {
		say("pass", "ggipc", fmt.Sprintf("Test%d", i), 1)
	}
	say("fail", "ggipc", "TestBroken", 5)
	say("fail", "ggipc", "", 14)
	say("fail", "does/not/compile", "", 0)
	say("skip", "no/tests", "", 0)

	var got strings.Builder
	if err := report(&got, strings.NewReader(events.String())); err != nil {
		t.Fatal(err)
	}
	want := `
The packages' own times:
   14.00 s  ggipc
    3.50 s  a
    0.00 s  does/not/compile

The slowest tests:
    5.00 s  ggipc TestBroken
    2.50 s  a TestSlow
    1.00 s  ggipc Test0
    1.00 s  ggipc Test1
    1.00 s  ggipc Test2
    1.00 s  ggipc Test3
    1.00 s  ggipc Test4
    1.00 s  ggipc Test5
    1.00 s  ggipc Test6
    1.00 s  ggipc Test7

13 passed, 2 failed, 1 skipped
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNoEventIsNotPassedOver(t *testing.T) {
	if err := report(new(strings.Builder), strings.NewReader("FAIL\n")); err == nil {
		t.Error("no error")
	}
}
