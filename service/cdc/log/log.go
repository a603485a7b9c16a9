package log

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

const (
	// A segment takes a sixteenth of what the log may keep in memory, within these bounds. The first ones are small.
	smallestSegment = 8 << 10
	largestSegment  = 256 << 10
	segmentsPerLog  = 16
)

// Log is a sequence of transactions. Append and Lose are for one goroutine at a time, all other methods may be called from
// any. Append never waits for a reader: it copies what it is given and wakes at most one goroutine.
//
// Lock order: Log.mu, then segment.mu or Reader.mu.
type Log struct {
	source registry.ID
	// memory bounds the segments in memory, largest the size of one.
	memory  int64
	largest int
	// store keeps what has left memory, nil if nothing does; generation is that of its cursors.
	store      Store
	generation string
	// open counts the readers, for Watched; unkept is the sequence of the newest transaction that was not appended because
	// there was none.
	open   atomic.Int32
	unkept atomic.Uint64
	// appended is the offset behind the newest record.
	appended      atomic.Int64
	alarm, halted chan struct{}
	tending       sync.WaitGroup

	// mu is held for a moment only: the goroutine that appends takes it.
	mu sync.Mutex
	// segments are without gaps; the last one is being filled unless it is alone. inUse is the memory that they take.
	segments []*segment
	inUse    int64
	// end is the place behind the newest record, newest the position of its last change, trimmed that of the newest record
	// that has left.
	end             place
	newest, trimmed api.Position
	// active are the readers that are not parked.
	active  []*Reader
	parked  waiting
	gaps    []*ending
	epoch   uint64
	counted Stats
	// rolled says that a segment was filled and the log's goroutine has not looked since.
	rolled bool
	// closed is why the log is closed, nil while it is open.
	closed error
}

// place is where a reader is: at the beginning of a record, or behind the newest one.
type place struct {
	// offset is how many bytes were appended before, records how many records.
	offset  int64
	records uint64
	// before is the sequence of the record before.
	before uint64
}

// Stats are what a log has counted since it was made.
type Stats struct {
	Transactions uint64
	// Changes counts by Code the changes of these transactions.
	Changes [numCodes]uint64
	// Spilled counts bytes that went to temporary files.
	Spilled uint64
}

// New returns an empty log of a source, which must be closed. Of what its readers have yet to read it keeps so much in memory, and the
// rest in temporary files.
func New(source registry.ID, memory unit.Size) *Log {
	l := &Log{
		source:  source,
		memory:  int64(memory),
		largest: int(min(largestSegment, max(1<<10, int64(memory)/segmentsPerLog))),
		alarm:   make(chan struct{}, 1),
		halted:  make(chan struct{}),
	}
	l.parked.byTable = make(map[string]*parked)
	l.tending.Go(l.tend)
	return l
}

// KeepIn says where what is appended is kept, and in which generation its cursors are, before readers are opened.
func (l *Log) KeepIn(store Store, generation string) { l.store, l.generation = store, generation }

// Watched reports whether there is a reader.
func (l *Log) Watched() bool { return l.open.Load() > 0 }

// Epoch counts the times that the last reader has left. While it stays the same there was no moment without a reader.
func (l *Log) Epoch() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// BeginAt says that everything up to a sequence has left, before a reader is opened.
func (l *Log) BeginAt(sequence uint64) {
	for {
		unkept := l.unkept.Load()
		if unkept >= sequence || l.unkept.CompareAndSwap(unkept, sequence) {
			return
		}
	}
}

// Append adds a committed transaction and reports whether it was kept: not without readers. tx may be used again afterwards.
func (l *Log) Append(tx *Transaction) (kept bool) { return l.append(tx, nil) }

// AppendIn is Append for the readers of one Epoch: if that is over nothing is kept.
func (l *Log) AppendIn(epoch uint64, tx *Transaction) (kept bool) { return l.append(tx, &epoch) }

func (l *Log) append(tx *Transaction, epoch *uint64) bool {
	if l.unwatched(tx.Sequence) {
		tx.Spilled.Release()
		return false
	}
	l.mu.Lock()
	if l.open.Load() == 0 || l.closed != nil || epoch != nil && *epoch != l.epoch {
		l.unkept.Store(tx.Sequence)
		l.mu.Unlock()
		tx.Spilled.Release()
		return false
	}
	s := l.room(tx)
	s.put(tx)
	s.learn(tx.Touched, &l.parked)
	at := l.publish(s, tx)
	one, several := l.parked.call(s, tx.Touched, at)
	if one != nil {
		news, begin := l.newsFor(one, s, at)
		l.wake(one, news, begin)
	}
	alarmed := several || l.rolled
	l.mu.Unlock()
	if one != nil {
		notify(one.ready)
	}
	if alarmed {
		notify(l.alarm)
	}
	return true
}

// unwatched reports whether a transaction is not to be kept, because there is no reader, and notes that. A reader that is
// opened at this moment either is seen here, or sees what is noted.
func (l *Log) unwatched(sequence uint64) bool {
	if l.Watched() {
		return false
	}
	l.unkept.Store(sequence)
	return !l.Watched()
}

// room returns a segment that has room for tx. l.mu must be held.
func (l *Log) room(tx *Transaction) *segment {
	size, alone := frontSize(tx), tx.Spilled != nil || len(tx.Entries) > l.largest/2
	if !alone {
		size += len(tx.Entries)
		if n := len(l.segments); n > 0 && l.segments[n-1].fits(size, tx.Touched) {
			return l.segments[n-1]
		}
	}
	capacity := size
	if !alone {
		capacity = max(size, l.capacity())
	}
	s := newSegment(capacity, alone)
	s.begin = l.end
	if alone {
		s.memory += int64(len(tx.Entries))
	}
	l.inUse += s.memory
	l.rolled = l.rolled || alone || len(l.segments) > 0
	l.segments = append(l.segments, s)
	return s
}

// capacity returns that of the next segment: twice what the one before has held. One that ended early, because the ID of a table
// has changed its meaning, would otherwise make those behind it large and leave them empty as well. l.mu must be held.
func (l *Log) capacity() int {
	held := 0
	if n := len(l.segments); n > 0 {
		held = int(min(l.segments[n-1].size.Load(), int64(l.largest)))
	}
	return min(max(smallestSegment, 2*held), l.largest)
}

// publish makes a record known that was put into s, and returns its place. l.mu must be held.
func (l *Log) publish(s *segment, tx *Transaction) place {
	at, size := l.end, int64(frontSize(tx)+len(tx.Entries))+tx.Spilled.Size()
	s.largest = max(s.largest, size)
	s.size.Add(size)
	l.end = place{offset: at.offset + size, records: at.records + 1, before: tx.Sequence}
	l.appended.Store(l.end.offset)
	l.counted.Transactions++
	l.counted.Spilled += uint64(tx.Spilled.Size()) //nolint:gosec // never negative
	changes := 0
	for code, n := range tx.Counts {
		l.counted.Changes[code] += uint64(n)
		changes += int(n)
	}
	l.newest = api.Position{Sequence: tx.Sequence, Index: changes - 1}
	s.last = l.newest
	return at
}

// Lose ends every reader with err after it has read what was appended before: what was committed then could not be
// captured. It reports whether there was a reader.
func (l *Log) Lose(sequence uint64, err error) (told bool) {
	if l.unwatched(sequence) {
		return false
	}
	l.mu.Lock()
	gap := &ending{at: l.end, reason: api.EndLost, err: err, sequence: sequence}
	var ended []*Reader
	if l.closed == nil {
		l.gaps = append(l.gaps, gap)
		ended = l.endAll(gap)
	}
	l.mu.Unlock()
	tell(ended)
	return len(ended) > 0
}

// Close ends every reader with cause after it has read what was appended before, and waits for the log's goroutine. From
// then on nothing is kept, and no reader is opened. It is idempotent.
func (l *Log) Close(cause error) { l.close(cause, false) }

// Drop is Close, but readers read nothing more: they get it again when the log has begun anew.
func (l *Log) Drop(cause error) { l.close(cause, true) }

func (l *Log) close(cause error, drop bool) {
	l.mu.Lock()
	var ended []*Reader
	if l.closed == nil {
		l.closed = cause
		e := &ending{at: l.end, reason: api.EndSource, err: cause}
		if drop {
			e.at = place{}
		}
		ended = l.endAll(e)
		close(l.halted)
	}
	l.mu.Unlock()
	tell(ended)
	l.tending.Wait()
}

// endAll sets why all readers end and returns those that are to be told. l.mu must be held.
func (l *Log) endAll(e *ending) (ended []*Reader) {
	for r := range l.parked.readers() {
		s, at := l.newsFor(r, nil, l.end)
		l.wake(r, s, at)
	}
	l.parked.uncall()
	for _, r := range l.active {
		if r.setEnding(e) {
			ended = append(ended, r)
		}
	}
	return ended
}

// Closed returns why the log is closed, nil while it is open.
func (l *Log) Closed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Held returns the size of what the log holds, in bytes.
func (l *Log) Held() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return 0
	}
	return l.end.offset - l.segments[0].begin.offset
}

// Stats returns what was counted.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

// Slowest returns the reader that is furthest behind, and how far that is in bytes; nil if none is.
func (l *Log) Slowest() (slowest *Reader, lag int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.active {
		if behind := l.end.offset - r.where().offset; behind > lag && r.Err() == nil {
			slowest, lag = r, behind
		}
	}
	return slowest, lag
}

// Late returns the reader that is furthest behind, and at which offset of the log, of those that have come half way to their limits
// when another size bytes are appended; nil if there is none. Those are left out that are where but says.
func (l *Log) Late(size int64, but map[*Reader]int64) (late *Reader, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	offset = l.end.offset
	for _, r := range l.active {
		at, _, limit := r.reach()
		if l.end.offset-at.offset+size <= limit/2 || at.offset >= offset && late != nil {
			continue
		}
		if stuck, known := but[r]; (!known || stuck != at.offset) && r.Err() == nil {
			late, offset = r, at.offset
		}
	}
	return late, offset
}

// Rewind says that what was appended behind a sequence will be appended again, to readers that have not read it. It returns the
// epoch from which on that is so.
func (l *Log) Rewind(sequence uint64) (epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end.before = sequence
	return l.epoch
}

// Acked returns the sequence up to which every reader has acknowledged what concerns it: what was appended behind it may
// be needed again. After the last reader has left it is what that one had acknowledged. Readers of a store are not
// counted.
func (l *Log) Acked() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	sequence := l.end.before
	for _, list := range l.parked.called {
		sequence = min(sequence, list.place.before)
	}
	for _, r := range l.active {
		sequence = min(sequence, r.ackedBefore(r.where().before))
	}
	for r := range l.parked.readers() {
		sequence = min(sequence, r.ackedBefore(sequence))
	}
	return sequence
}

// find returns the segment that holds the record at an offset, nil if it has left or there is none yet. l.mu must be held.
func (l *Log) find(offset int64) *segment {
	i, found := slices.BinarySearchFunc(l.segments, offset, func(s *segment, offset int64) int {
		return cmp.Compare(s.begin.offset, offset)
	})
	if !found {
		i--
	}
	if i < 0 || !l.segments[i].holds(offset) {
		return nil
	}
	return l.segments[i]
}

// notify makes a receive from signal possible, if it is not yet.
func notify(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}
