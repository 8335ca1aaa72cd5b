package crashtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestALedgerFindsWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ lines, want string }{
		{"ready\naccepted a\nanswer a 1 x\ndelivered a", ""},
		{"accepted a\nanswer a 1 x\nanswer a 2 x\nanswer a 0 x", ""},
		{"answer a 1 x", ""}, // accepted, and killed before it said so
		{"accepted a", "a was accepted and is lost"},
		{"answer a 1 x\nanswer a 2 y", "a was answered twice, with different bytes"},
		{"answer a 1 x\nanswer a 1 x", "a went out twice as attempt 1"},
		{"answer a 1 x\ndelivered a\nanswer a 2 x", "a went out again after its delivery was confirmed"},
		{"nonsense", `the program says "nonsense"`},
	} {
		var l Ledger
		for line := range strings.SplitSeq(test.lines, "\n") {
			l.Line(line)
		}
		err := l.Close()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v", test.lines, err)
		}
	}
}

func TestAProgramIsKilledAtDifferentMoments(t *testing.T) {
	if os.Getenv("CRASHTEST_CHILD") != "" {
		for {
			if _, err := os.Stdout.WriteString("accepted a\n"); err != nil {
				os.Exit(1)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	lines := 0
	err := Run(t.Context(), Options{
		Command: func(int) *exec.Cmd {
			cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
			cmd.Env = append(os.Environ(), "CRASHTEST_CHILD=1")
			return cmd
		},
		Kills: 8, Longest: 30 * time.Millisecond,
		Line: func(line string) {
			if lines++; line != "accepted a" {
				t.Errorf("line %q", line)
			}
		},
	})
	if err != nil || lines < 6 {
		t.Errorf("%d lines, error %v", lines, err)
	}
}

func TestAProgramThatEndsByItselfIsAFault(t *testing.T) {
	err := Run(t.Context(), Options{
		Command: func(int) *exec.Cmd { return exec.Command("sh", "-c", "echo accepted a; echo why >&2; exit 3") },
		Longest: time.Minute,
	})
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("got %v", err)
	}
}
