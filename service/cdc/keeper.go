package cdc

import (
	"errors"
	"io"
	"slices"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// The keeper drops what all streams have read at least each time that this part of the log's bound was appended.
	patrolsPerLog = 16
	// The keeper looks through this many batches for a group before it sees to its other duties.
	looksPerTurn = 16
	// The keeper drops at most this many transactions before it lets the writer have the lock.
	dropsPerTurn = 256
)

// keep does for the streams what Append must not do: it wakes those that wait, ends those that fell behind, and
// drops what all have read.
func (l *Log) keep() {
	var k lookout
	for {
		select {
		case <-l.stop:
			return
		case <-l.alarm:
		}
		if !l.lookAll(&k) {
			notify(l.alarm)
		}
		behind, read := l.patrol()
		for _, c := range behind {
			c.owner.end(c.gone)
		}
		for l.drop(read) {
		}
	}
}

// lookout is what the keeper keeps to use again.
type lookout struct {
	groups []*group
	slots  []slot
	spare  []*cursor
	change api.Change
}

// lookAll looks through what is new for all groups that wait, and reports whether it came to the end.
func (l *Log) lookAll(k *lookout) bool {
	k.groups = l.waitingGroups(k.groups[:0])
	for range looksPerTurn {
		again := k.groups[:0]
		for _, g := range k.groups {
			if l.look(g, k) {
				again = append(again, g)
			}
		}
		clear(k.groups[len(again):])
		k.groups = again
		if len(again) == 0 {
			return true
		}
	}
	return false
}

// waitingGroups appends the groups to list that have something to look through.
func (l *Log) waitingGroups(list []*group) []*group {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.groups {
		if l.unread(g) {
			list = append(list, g)
		}
	}
	return list
}

// look looks through a few transactions for g and wakes its waiting streams if there is something for them. It
// reports whether it is worth looking again.
func (l *Log) look(g *group, k *lookout) bool {
	during := l.lookAt(g, k)
	if during == nil {
		return false
	}
	defer clear(k.slots)
	found := slices.IndexFunc(k.slots, func(s slot) bool { return k.concerns(g, s) })
	passed := len(k.slots)
	if found >= 0 {
		passed = found
	}

	l.mu.Lock()
	if during.over || g.round != during {
		l.mu.Unlock()
		return true
	}
	if passed > 0 {
		during.read = place{during.read.at + uint64(passed), k.slots[passed-1].end}
	}
	if found < 0 {
		l.sweep()
		l.mu.Unlock()
		return true
	}
	called := l.call(g, k.spare)
	l.mu.Unlock()
	for _, c := range called {
		notify(c.wake)
	}
	clear(called)
	k.spare = called[:0]
	return false
}

// lookAt fills k.slots with what g has to be looked through for next. It returns the round of g, or nil if there
// is nothing.
func (l *Log) lookAt(g *group, k *lookout) *round {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.slots = k.slots[:0]
	if !l.unread(g) {
		return nil
	}
	read := g.round.read
	if read.at < l.ring.first {
		k.slots = append(k.slots, slot{}) // it has left: the streams must hear of it
		return g.round
	}
	k.slots = l.ring.from(read.at, read.start, k.slots)
	return g.round
}

// concerns reports whether a stream of g must look at a transaction itself: because there is something for it, or
// because the transaction is too large for the keeper to look through.
func (k *lookout) concerns(g *group, s slot) bool {
	if g.selection.all() || s.tx == nil || s.size > maxTaken {
		return true
	}
	r := s.tx.Open(g.selection)
	defer r.Close()
	k.change.Before, k.change.After = k.change.Before[:0], k.change.After[:0]
	return !errors.Is(r.Next(&k.change), io.EOF)
}

// patrol removes the streams that fell behind and returns them, along with the index of the oldest transaction
// that somebody has yet to read.
func (l *Log) patrol() (behind []*cursor, read uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total < l.patrolAt {
		return nil, 0
	}
	read = l.ring.next
	l.patrolAt = l.total + max(1, int64(l.settings.Bytes)/patrolsPerLog)
	for _, c := range l.cursors {
		if c.lazy {
			l.rouse(c)
		}
		end, there := l.reach(c)
		if !there || end != notReading && l.total-end > c.limit {
			c.gone = l.fellBehind(c)
			behind = append(behind, c)
			continue
		}
		read = min(read, c.place().at)
		if end != notReading {
			l.patrolAt = min(l.patrolAt, end+c.limit+1)
		}
	}
	for _, c := range behind {
		l.remove(c)
	}
	return behind, read
}

// drop drops some of the transactions before index read, and reports whether there are more.
func (l *Log) drop(read uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range dropsPerTurn {
		if l.ring.first >= min(read, l.ring.next) {
			return false
		}
		l.pop()
	}
	return true
}

// fellBehind returns the error that ends the stream of c. l.mu must be held.
func (l *Log) fellBehind(c *cursor) *ending {
	return lagging(l.total-c.start.Load(), l.ring.next-c.at.Load(), c.limit)
}
