// Command testtimes tells where the time of a test run went: each package's own
// time, and the ten slowest tests by name. It reads what `go test -json` wrote to
// the file that is its argument, and counts the tests in its last line.
//
// It does not run tests, nor show their failures: `make test` has gotestsum do
// both, and calls it afterwards.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// slowest is how many tests are listed.
const slowest = 10

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: testtimes FILE")
		os.Exit(2)
	}
	file, err := os.Open(os.Args[1])
	if err == nil {
		defer file.Close()
		err = report(os.Stdout, file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testtimes:", err)
		os.Exit(1)
	}
}

// event is a line of `go test -json`, as far as it is of use.
type event struct {
	Action  string
	Package string
	Test    string  // "" for the package as a whole
	Elapsed float64 // seconds
}

// entry is a package or a test and its time in seconds.
type entry struct {
	name string
	time float64
}

// report writes the times of the run in events. A test that ran several times is
// listed with the longest, and a package that failed by itself, as one that does
// not compile, counts as a failed test.
func report(w io.Writer, events io.Reader) error {
	packages, tests := make(map[string]float64), make(map[string]float64)
	failed := make(map[string]int) // tests that failed, by package
	counts := make(map[string]int) // of tests with those within, by action
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read the events: %w in %q", err, line)
		}
		if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
			continue
		}
		name := short(e.Package)
		switch {
		case e.Test == "" && e.Action == "skip": // it has no tests
		case e.Test == "":
			packages[name] = max(packages[name], e.Elapsed)
			if e.Action == "fail" && failed[name] == 0 {
				counts["fail"]++
			}
		default:
			counts[e.Action]++
			if e.Action == "fail" {
				failed[name]++
			}
			if !strings.Contains(e.Test, "/") {
				name += " " + e.Test
				tests[name] = max(tests[name], e.Elapsed)
			}
		}
	}
	list(w, "The packages' own times:", sorted(packages))
	list(w, "The slowest tests:", sorted(tests)[:min(slowest, len(tests))])
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
	return err
}

// short leaves out the name of the module, which ends in its own name twice.
func short(path string) string {
	if _, rest, ok := strings.Cut(path, "/brainseg/brainseg/"); ok {
		return rest
	}
	return path
}

func sorted(times map[string]float64) []entry {
	var entries []entry
	for name, time := range times {
		entries = append(entries, entry{name, time})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.time, a.time), strings.Compare(a.name, b.name))
	})
	return entries
}

func list(w io.Writer, title string, entries []entry) {
	fmt.Fprintf(w, "\n%s\n", title)
	for _, e := range entries {
		fmt.Fprintf(w, "%8.2f s  %s\n", e.time, e.name)
	}
}
