package queue

import "slices"

// lines are the requests that wait, one line for each client of each way in.
// Ways take turns, and within a way its clients do, so that nobody who asks much
// keeps others waiting. Only lines with somebody in them exist.
type lines struct {
	ways []*wayLines // in the order of their turns
	n    int
}

type wayLines struct {
	name    string
	clients []*clientLine // in the order of their turns
	byName  map[string]*clientLine
}

type clientLine struct {
	name    string
	waiting []*entry
}

// push puts e at the end of its client's line, or at its head.
func (l *lines) push(e *entry, head bool) {
	i := slices.IndexFunc(l.ways, func(w *wayLines) bool { return w.name == e.way })
	if i < 0 {
		i = len(l.ways)
		l.ways = append(l.ways, &wayLines{name: e.way, byName: map[string]*clientLine{}})
	}
	w := l.ways[i]
	c := w.byName[e.client]
	if c == nil {
		c = &clientLine{name: e.client}
		w.byName[e.client] = c
		w.clients = append(w.clients, c)
	}
	if head {
		c.waiting = slices.Insert(c.waiting, 0, e)
	} else {
		c.waiting = append(c.waiting, e)
	}
	l.n++
}

// pop takes the request whose turn it is, nil if none waits.
func (l *lines) pop() *entry {
	if len(l.ways) == 0 {
		return nil
	}
	w := l.ways[0]
	c := w.clients[0]
	e := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	l.n--
	// Whoever had a turn goes to the end, with what is left.
	w.clients = w.clients[1:]
	if len(c.waiting) > 0 {
		w.clients = append(w.clients, c)
	} else {
		delete(w.byName, c.name)
	}
	l.ways = l.ways[1:]
	if len(w.clients) > 0 {
		l.ways = append(l.ways, w)
	}
	return e
}

// remove takes e out of its line.
func (l *lines) remove(e *entry) {
	wi := slices.IndexFunc(l.ways, func(w *wayLines) bool { return w.name == e.way })
	if wi < 0 {
		return
	}
	w := l.ways[wi]
	c := w.byName[e.client]
	if c == nil {
		return
	}
	i := slices.Index(c.waiting, e)
	if i < 0 {
		return
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	l.n--
	if len(c.waiting) == 0 {
		delete(w.byName, c.name)
		w.clients = slices.DeleteFunc(w.clients, func(o *clientLine) bool { return o == c })
	}
	if len(w.clients) == 0 {
		l.ways = slices.Delete(l.ways, wi, wi+1)
	}
}
