package turns

import (
	"slices"
	"testing"
)

func all(t *Turns[string]) (order []string) {
	for t.Len() > 0 {
		order = append(order, t.Pop())
	}
	return order
}

func TestWaysTakeTurnsAndWithinAWayItsClients(t *testing.T) {
	var turns Turns[string]
	for _, item := range []string{"a1", "a2", "a3"} {
		turns.Push("http", "a", item)
	}
	turns.Push("http", "b", "b1")
	turns.Push("ipc", "", "c1")
	turns.Push("ipc", "", "c2")
	turns.PushFirst("http", "a", "a0")
	if got, want := all(&turns), []string{"a0", "c1", "b1", "c2", "a1", "a2", "a3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if item := turns.Pop(); item != "" {
		t.Errorf("of nobody: %q", item)
	}
}

func TestARemovedItemHasNoTurn(t *testing.T) {
	var turns Turns[string]
	turns.Push("http", "a", "a1")
	turns.Push("http", "b", "b1")
	turns.Push("http", "b", "b2")
	turns.Push("ipc", "", "c1")
	turns.Remove("http", "b", "b1")
	turns.Remove("ipc", "", "c1")
	for _, line := range [][2]string{{"http", "a"}, {"http", "nobody"}, {"ipc", ""}} {
		turns.Remove(line[0], line[1], "absent")
	}
	if got, want := all(&turns), []string{"a1", "b2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
