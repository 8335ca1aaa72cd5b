// Package turns says whose turn it is among those who wait. Ways in take turns, and
// within a way its clients do, so that nobody who asks much keeps others waiting.
// It is not safe for concurrent use. Packages memoryqueue, scanjob and queue/backlog call it.
package turns

import "slices"

// Turns are items that wait, one line for each client of each way in. The zero
// value is ready. Only lines with somebody in them exist.
type Turns[T comparable] struct {
	ways []*way[T] // in the order of their turns
	n    int
}

type way[T comparable] struct {
	name     string
	lines    []*line[T] // in the order of their turns
	byClient map[string]*line[T]
}

type line[T comparable] struct {
	client string
	items  []T
}

// Len is the number of items that wait.
func (t *Turns[T]) Len() int { return t.n }

// Push puts an item at the end of its client's line.
func (t *Turns[T]) Push(way, client string, item T) {
	l := t.line(way, client)
	l.items = append(l.items, item)
}

// PushFirst puts an item at the head of its client's line.
func (t *Turns[T]) PushFirst(way, client string, item T) {
	l := t.line(way, client)
	l.items = slices.Insert(l.items, 0, item)
}

// line is where an item more comes.
func (t *Turns[T]) line(name, client string) *line[T] {
	t.n++
	i := slices.IndexFunc(t.ways, func(w *way[T]) bool { return w.name == name })
	if i < 0 {
		i = len(t.ways)
		t.ways = append(t.ways, &way[T]{name: name, byClient: map[string]*line[T]{}})
	}
	w := t.ways[i]
	l := w.byClient[client]
	if l == nil {
		l = &line[T]{client: client}
		w.byClient[client] = l
		w.lines = append(w.lines, l)
	}
	return l
}

// Pop takes the item whose turn it is, T's zero value if none waits. Whoever had a
// turn goes to the end, with what is left.
func (t *Turns[T]) Pop() (item T) {
	if len(t.ways) == 0 {
		return item
	}
	w := t.ways[0]
	l := w.lines[0]
	t.n--
	var none T
	item, l.items[0] = l.items[0], none // so that the line does not keep it
	l.items = l.items[1:]
	w.lines = w.lines[1:]
	if len(l.items) > 0 {
		w.lines = append(w.lines, l)
	} else {
		delete(w.byClient, l.client)
	}
	t.ways = t.ways[1:]
	if len(w.lines) > 0 {
		t.ways = append(t.ways, w)
	}
	return item
}

// Remove takes an item out of its client's line, if it is there.
func (t *Turns[T]) Remove(name, client string, item T) {
	wi := slices.IndexFunc(t.ways, func(w *way[T]) bool { return w.name == name })
	if wi < 0 {
		return
	}
	w := t.ways[wi]
	l := w.byClient[client]
	if l == nil {
		return
	}
	i := slices.Index(l.items, item)
	if i < 0 {
		return
	}
	t.n--
	l.items = slices.Delete(l.items, i, i+1)
	if len(l.items) == 0 {
		delete(w.byClient, client)
		w.lines = slices.DeleteFunc(w.lines, func(o *line[T]) bool { return o == l })
	}
	if len(w.lines) == 0 {
		t.ways = slices.Delete(t.ways, wi, wi+1)
	}
}
