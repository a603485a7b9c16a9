package log

import (
	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// readersPerTurn is how many readers are woken before the goroutine that appends may have the lock.
const readersPerTurn = 64

// tend does what Append must not do: it wakes readers if several wait for one record, and when a segment is full it ends those
// that are too far behind and moves to files what memory has no room for.
func (l *Log) tend() {
	var files spool
	defer files.close()
	for {
		select {
		case <-l.halted:
			return
		case <-l.alarm:
		}
		for l.wakeSome() {
		}
		if l.patrol() {
			l.spill(&files)
		}
	}
}

// wakeSome wakes some of the readers whose lists are called, and reports whether there may be more.
func (l *Log) wakeSome() bool {
	l.mu.Lock()
	n := len(l.parked.called)
	if n == 0 {
		l.mu.Unlock()
		return false
	}
	list := l.parked.called[n-1]
	var woken []*Reader
	for list.left > 0 && list.first != nil && len(woken) < readersPerTurn {
		list.left--
		one := list.first
		r := one.reader
		if s, at := l.newsFor(r, nil, l.end); s != nil {
			l.wake(r, s, at)
			woken = append(woken, r)
			continue
		}
		list.unlink(one)
		list.append(one)
	}
	if list.left == 0 || list.first == nil {
		l.parked.called = l.parked.called[:n-1]
		list.uncall()
		l.trim()
	}
	l.mu.Unlock()
	for _, r := range woken {
		notify(r.ready)
	}
	return true
}

// newsFor returns where a parked reader goes on: at a record in s, or before, if a list that it is in is called for an earlier one.
// l.mu must be held.
func (l *Log) newsFor(r *Reader, s *segment, at place) (*segment, place) {
	parked := r.where()
	for i := range r.links {
		list := r.links[i].list
		switch {
		case r.interest.Codes&list.calledFor == 0:
		case parked.offset <= list.place.offset:
			if list.place.offset < at.offset {
				s, at = list.segment, list.place
			}
		case parked.offset < at.offset: // it was parked after the list had been called
			s, at = l.find(parked.offset), parked
		}
	}
	return s, at
}

// patrol ends readers that are too far behind, if a segment was filled; it reports whether.
func (l *Log) patrol() bool {
	l.mu.Lock()
	if !l.rolled {
		l.mu.Unlock()
		return false
	}
	l.rolled = false
	if n := len(l.segments); n > 0 {
		l.parked.prune(l.segments[n-1])
	}
	var behind, ended []*Reader
	for _, r := range l.active {
		e := l.laggard(r)
		if e == nil {
			continue
		}
		behind = append(behind, r)
		if r.lasting {
			l.fall(r)
		} else if r.setEnding(e) {
			ended = append(ended, r)
		}
	}
	for _, r := range behind {
		l.remove(r)
	}
	l.trim()
	l.mu.Unlock()
	tell(ended)
	return true
}

// laggard returns the ending of a reader that is too far behind, nil for others. l.mu must be held.
func (l *Log) laggard(r *Reader) *ending {
	at, size, limit := r.reach()
	// A record that it has yet to begin does not count; nor does one that alone is beyond the limit while it is at work on
	// another.
	if s := l.find(at.offset + size); s != nil && (size == 0 || s.largest > limit) {
		size += s.largest
	}
	if l.end.offset-at.offset-size <= limit {
		return nil
	}
	return l.lag(at, limit)
}

// lag returns the ending of a reader that is too far behind. l.mu must be held.
func (l *Log) lag(at place, limit int64) *ending {
	return &ending{reason: api.EndLag, err: errs.New(errs.Unavailable,
		"stream fell behind: %s in %d transactions unread, limit %s; read faster, raise max_bytes, or resubscribe with snapshot = true",
		unit.Size(l.end.offset-at.offset), l.end.records-at.records, unit.Size(limit))}
}

// trim lets go of the segments before the first that is needed. l.mu must be held.
func (l *Log) trim() {
	n := 0
	for n < len(l.segments) && l.segments[n].readers == 0 && (n < len(l.segments)-1 || l.segments[n].alone) {
		s := l.segments[n]
		l.inUse -= s.memory
		l.trimmed = s.last
		s.content.Load().release()
		l.segments[n] = nil
		n++
	}
	if l.segments = l.segments[n:]; n == 0 {
		return
	}
	for len(l.gaps) > 0 && l.gaps[0].sequence <= l.trimmed.Sequence {
		l.gaps = l.gaps[1:]
	}
	if len(l.segments) == 0 {
		l.segments = nil
		l.forgetGaps()
	}
}

// forgetGaps is for when all records have left that were appended before gaps: what was lost then has left as well. l.mu must be
// held.
func (l *Log) forgetGaps() {
	for _, gap := range l.gaps {
		l.trimmed = newer(l.trimmed, api.Behind(gap.sequence))
	}
	l.gaps = nil
}

func newer(a, b api.Position) api.Position {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// spill moves the oldest segments in memory to files until the others are within the bound.
func (l *Log) spill(files *spool) {
	for {
		s, old := l.oldestInMemory()
		if s == nil {
			return
		}
		moved, written := old.moveTo(files, s.size.Load())
		l.mu.Lock()
		if l.find(s.begin.offset) != s { // it has left meanwhile, and old was released
			l.mu.Unlock()
			moved.releaseBut(old)
			continue
		}
		s.content.Store(moved)
		l.inUse -= s.memory
		s.memory = 0
		l.counted.Spilled += uint64(written) //nolint:gosec // never negative
		l.mu.Unlock()
	}
}

// oldestInMemory returns the first segment that is in memory, with its content, if segments take more memory than they may.
// The newest is left alone.
func (l *Log) oldestInMemory() (*segment, *content) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inUse <= l.memory {
		return nil, nil
	}
	for _, s := range l.segments[:max(0, len(l.segments)-1)] {
		if s.memory > 0 {
			return s, s.content.Load()
		}
	}
	return nil, nil
}
