// Package turns says whose turn it is among those who wait. Ways in take turns, and
// within a way its clients do, so that nobody who asks much keeps others waiting.
// It is not safe for concurrent use. Package engine calls it.
package turns

// Turns are items that wait, one line for each client of each way in. The zero
// value is ready. Only lines with somebody in them exist.
type Turns[T any] struct {
	ways []*way[T] // in the order of their turns
}

type way[T any] struct {
	name  string
	lines []*line[T] // in the order of their turns
}

type line[T any] struct {
	client string
	items  []T
}

// Push puts an item at the end of its client's line.
func (t *Turns[T]) Push(way, client string, item T) {
	w := t.way(way)
	for _, l := range w.lines {
		if l.client == client {
			l.items = append(l.items, item)
			return
		}
	}
	w.lines = append(w.lines, &line[T]{client: client, items: []T{item}})
}

func (t *Turns[T]) way(name string) *way[T] {
	for _, w := range t.ways {
		if w.name == name {
			return w
		}
	}
	t.ways = append(t.ways, &way[T]{name: name})
	return t.ways[len(t.ways)-1]
}

// Pop takes the item whose turn it is, T's zero value if none waits. Whoever had a
// turn goes to the end, with what is left.
func (t *Turns[T]) Pop() (item T) {
	if len(t.ways) == 0 {
		return item
	}
	w := t.ways[0]
	l := w.lines[0]
	item, l.items = l.items[0], l.items[1:]
	w.lines = w.lines[1:]
	if len(l.items) > 0 {
		w.lines = append(w.lines, l)
	}
	t.ways = t.ways[1:]
	if len(w.lines) > 0 {
		t.ways = append(t.ways, w)
	}
	return item
}
