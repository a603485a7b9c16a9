package cdc

import "slices"

// group is the streams of a log that select the same. When they wait, the keeper looks through new transactions once
// for all of them, and wakes them only if there is something to deliver: otherwise a thousand streams on quiet tables
// would cost a busy writer more than its own work. The fields are guarded by the log's mu.
type group struct {
	selection *Selection
	members   int
	// waiting lists the cursors that wait, in one round.
	waiting []*cursor
	round   *round
}

// round is the time from when the first cursor of a group begins to wait until all that wait are called. It is guarded by
// the log's mu.
type round struct {
	// read is how far was looked for them: nothing between the place where a cursor began to wait and this one is for its
	// stream.
	read place
	// over says that they were called.
	over bool
}

// waits reports whether c is listed as waiting. The log's mu must be held.
func (c *cursor) waits() bool { return c.round != nil && !c.round.over }

// place returns where c is, or will go on. The log's mu must be held.
func (c *cursor) place() place {
	p := place{c.at.Load(), c.start.Load()}
	if c.round != nil && c.round.read.at > p.at {
		return c.round.read
	}
	return p
}

// join makes c, whose stream has the given selection, see what is appended from now on. The stream's goroutine,
// which must be started next, is counted already.
func (l *Log) join(c *cursor, selection *Selection) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	c.end.Store(notReading)
	c.skipTo(place{l.ring.next, l.total})
	l.setCursors(append(l.cursors, c))
	i := slices.IndexFunc(l.groups, func(g *group) bool { return g.selection.equal(selection) })
	if i < 0 {
		i = len(l.groups)
		own := *selection // an engine may know more of a stream by its selection, which is not true of others
		l.groups = append(l.groups, &group{selection: &own})
	}
	c.group = l.groups[i]
	c.group.members++
	l.busy++
	l.goroutines.Add(1)
	return nil
}

// leave forgets c. It is idempotent.
func (l *Log) leave(c *cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
	l.sweep()
}

// remove forgets c, if it is still known. l.mu must be held.
func (l *Log) remove(c *cursor) {
	i := slices.Index(l.cursors, c)
	if i < 0 {
		return
	}
	if len(l.cursors) == 1 {
		l.part(c)
	}
	l.setCursors(cut(l.cursors, i))
	g := c.group
	l.wake(c)
	if c.waits() {
		g.waiting = cut(g.waiting, slices.Index(g.waiting, c))
	} else {
		l.busy--
	}
	if g.members--; g.members == 0 {
		l.groups = cut(l.groups, slices.Index(l.groups, g))
	}
}

func (l *Log) setCursors(cursors []*cursor) {
	l.cursors = cursors
	l.streams.Store(int32(len(cursors))) //nolint:gosec // bounded by subscriptions.max_subscriptions
}

// cut removes an element of a list whose order does not matter.
func cut[T any](list []*T, i int) []*T {
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	return list[:last]
}

// await lists c, which has read the whole log, as waiting. l.mu must be held.
func (l *Log) await(c *cursor) {
	g := c.group
	if !c.waits() {
		if len(g.waiting) == 0 {
			g.round = &round{read: c.place()}
		}
		c.round = g.round
		g.waiting = append(g.waiting, c)
		l.busy--
	}
	l.sweep()
}

// call takes the waiting cursors of g off its list, and returns it; list is the new one. l.mu must be held.
func (l *Log) call(g *group, list []*cursor) []*cursor {
	called := g.waiting
	g.waiting = list
	g.round.over = true
	l.busy += len(called)
	return called
}

// sweep empties the ring if nobody has yet to read anything of it. l.mu must be held.
func (l *Log) sweep() {
	if l.busy > 0 || slices.ContainsFunc(l.groups, func(g *group) bool { return l.unread(g) }) ||
		l.dozing > 0 && slices.ContainsFunc(l.cursors, func(c *cursor) bool { return c.dozes && c.at.Load() < l.ring.next }) {
		return
	}
	if l.ring.len() > minRing {
		l.ring = ring{first: l.ring.next, next: l.ring.next}
		l.dropped = l.total
	}
	for l.ring.len() > 0 {
		l.pop()
	}
}

// unread reports whether streams of g wait and there is something that they might be waiting for. l.mu must be held.
func (l *Log) unread(g *group) bool { return len(g.waiting) > 0 && g.round.read.at < l.ring.next }

// pop drops the oldest transaction. l.mu must be held.
func (l *Log) pop() {
	l.dropped = l.ring.at(l.ring.first).end
	l.ring.pop()
}
