package cdc

// Progress is how far the streams have got.
type Progress struct {
	// Watch counts the times that a log ceased to be watched. While it stays the same, there was no moment without a stream
	// between two that had one.
	Watch uint64
	// Streams is how many are open.
	Streams int
	// Passed is the index of the first transaction that a stream may still deliver something of, among the streams whose
	// readers have taken all that was decoded for them.
	Passed uint64
	// Behind says that the readers of other streams have something left to take, and Taken is the least sequence, over
	// these streams, of the last transaction that the reader has taken whole.
	Behind bool
	Taken  uint64
}

// Progress tells what all open streams have taken: the transactions before index Passed and, if Behind is set, of a
// sequence up to Taken. With none open it is Parting.
func (l *Log) Progress() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cursors) == 0 {
		return l.parted()
	}
	all := Progress{Watch: l.watch, Streams: len(l.cursors), Passed: l.ring.next}
	for _, c := range l.cursors {
		all.include(l.progressOf(c))
	}
	return all
}

// Parting is the progress of the stream that was the last to leave the log, the last time that something had been
// appended for it.
func (l *Log) Parting() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parted()
}

// parted is Parting. l.mu must be held.
func (l *Log) parted() Progress {
	p := l.parting
	p.Watch = l.watch
	return p
}

// part notes that c is the last one and leaves. l.mu must be held.
func (l *Log) part(c *cursor) {
	if l.watch++; l.written {
		l.parting, l.written = l.progressOf(c), false
	}
}

func (p *Progress) include(one Progress) {
	switch {
	case !one.Behind:
		p.Passed = min(p.Passed, one.Passed)
	case p.Behind:
		p.Taken = min(p.Taken, one.Taken)
	default:
		p.Behind, p.Taken = true, one.Taken
	}
}

// progressOf tells how far the stream of c has got. l.mu must be held.
func (l *Log) progressOf(c *cursor) Progress {
	// What lies before at was decoded before queued was read, so that it cannot be missed.
	at := c.place().at
	queued, taken := c.owner.queued.Load(), c.owner.taken.Load()
	return Progress{Passed: at, Behind: queued != taken, Taken: taken}
}

// Mark tells where a stream is: it changes whenever the stream gets further.
type Mark struct{ start, moved int64 }

// Straggler returns how many bytes the stream has yet to read that is furthest behind, of those that are not at one of the
// marks in ignored, and where it is. Without such a stream lag is 0.
func (l *Log) Straggler(ignored map[Mark]struct{}) (lag int64, at Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.cursors {
		mark := Mark{c.place().start, int64(c.owner.taken.Load())} //nolint:gosec // only compared
		if c.held.Load() {
			mark.moved = int64(l.settings.Counters.snapshotRows.Load()) //nolint:gosec // the same
		}
		if behind := l.total - mark.start; behind > lag {
			if _, passed := ignored[mark]; !passed {
				lag, at = behind, mark
			}
		}
	}
	return lag, at
}
