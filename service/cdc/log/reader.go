package log

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Options says where a reader begins and what it is for.
type Options struct {
	// After is the position behind which it begins; nil means behind all that was appended by now.
	After *api.Position
	// Lasting says that a reader which is too far behind goes on in the store of the log, if there is one, instead of being ended.
	Lasting bool
	// Limit is how many bytes there may be behind the record that is read, or read next.
	Limit int64
	// Interest says when to wake the reader.
	Interest Interest
	// Accept says which operations on a table it reads at all. It is called once for each table of each segment.
	Accept func(Shape) Codes
	// Void reports whether an entry of a record with that head does not count; it is asked for transactions with Voids.
	Void func(head, entry []byte) bool
	// OnEnd is called once, when the reader is to end or was closed. It must return at once and not use the log.
	OnEnd func(reason api.EndReason)
}

// Reader reads a log from one position on. Next, and the Record that it returns, are for one goroutine at a time; the other
// methods may be called from any.
type Reader struct {
	log      *Log
	interest Interest
	accept   func(Shape) Codes
	void     func(head, entry []byte) bool
	onEnd    func(api.EndReason)
	told     sync.Once
	ready    chan struct{}

	// The log's mu guards these: the places in the lists of parked readers, that among the active ones, and the segment that
	// is kept for the reader.
	links []link
	index int
	kept  *segment

	// mu guards what others look at. It is held for a moment only.
	mu    sync.Mutex
	place place
	// size is that of the record at place, 0 if it was not looked at.
	size   int64
	limit  int64
	parked bool
	end    *ending
	// fallen says that the reader has left the log because it was too far behind; replayed is where it is in the store.
	fallen   bool
	replayed place
	// stored says that the reader reads the store, as others see it.
	stored bool
	// over says that there is nothing more to read, not even the rest of a record.
	over atomic.Bool
	// manual says that only Ack acknowledges: positions up to acked, of those up to handed.
	manual        bool
	handed, acked api.Position

	// The rest belongs to the goroutine that reads. replays is not nil while the store is read.
	replays  *replaying
	lasting  bool
	segment  *segment
	window   window
	verdicts map[uint32]verdict
	skip     api.Position
	record   Record
}

// verdict is what a reader knows of a table.
type verdict struct {
	shape Shape
	codes Codes
}

// Open opens a reader, which must be closed. If its position has left the log the error is Unavailable, and the cause if the log is
// closed.
func (l *Log) Open(o Options) (*Reader, error) {
	r := l.newReader(o)
	err := l.join(r, o.After)
	if errors.Is(err, ErrLeft) && l.store != nil {
		err = r.replay(*o.After)
	}
	if err != nil {
		return nil, err
	}
	if r.ended() != nil { // there is a gap behind its position
		tell([]*Reader{r})
	}
	return r, nil
}

// ErrLeft means that what is behind a position is not in the log any more.
var ErrLeft = errs.New(errs.Unavailable, "the position has left the log: begin anew with a snapshot")

func (l *Log) newReader(o Options) *Reader {
	r := &Reader{
		log: l, lasting: o.Lasting && l.store != nil, interest: o.Interest, accept: o.Accept, void: o.Void, onEnd: o.OnEnd, limit: o.Limit,
		index: -1, ready: make(chan struct{}, 1), verdicts: make(map[uint32]verdict),
		links: make([]link, max(1, len(o.Interest.Tables))),
	}
	for i := range r.links {
		r.links[i].reader = r
	}
	if o.Interest.Tables != nil {
		r.interest.Tables = make([]string, len(o.Interest.Tables))
		for i, name := range o.Interest.Tables {
			r.interest.Tables[i] = fold(name)
		}
		slices.Sort(r.interest.Tables)
		r.interest.Tables = slices.Compact(r.interest.Tables)
		r.links = r.links[:len(r.interest.Tables)]
	}
	r.record.reader = r
	return r
}

// join makes r one of the readers of the log.
func (l *Log) join(r *Reader, after *api.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	r.place = l.end
	if after == nil {
		r.skip = l.begun()
	}
	l.open.Add(1)
	var first *segment
	if after != nil {
		var err error
		if first, err = l.seek(r, *after); err != nil {
			l.open.Add(-1)
			return err
		}
	}
	if first == nil && r.end == nil {
		r.parked = true
		l.parked.add(r)
		return nil
	}
	l.activate(r, first)
	notify(r.ready)
	return nil
}

// begun returns what a reader passes over that begins with what is appended from now on, if it is appended again for
// others. l.mu must be held.
func (l *Log) begun() api.Position {
	if l.open.Load() == 0 { // it gets what the readers before have not acknowledged
		return api.Behind(l.end.before)
	}
	return api.Behind(max(l.end.before, l.newest.Sequence))
}

// seek makes r begin behind a position and returns the segment it begins in, nil if that is behind the newest record. l.mu must
// be held.
func (l *Log) seek(r *Reader, after api.Position) (*segment, error) {
	if unkept := l.unkept.Load(); after.Compare(l.trimmed) < 0 || unkept > 0 && after.Compare(api.Behind(unkept)) < 0 {
		return nil, ErrLeft
	}
	r.skip = after
	for _, gap := range l.gaps {
		if r.end == nil && gap.sequence > after.Sequence {
			r.end = gap
		}
	}
	for _, s := range l.segments {
		if s.last.Sequence >= after.Sequence {
			r.place = s.begin
			return s, nil
		}
	}
	return nil, nil //nolint:nilnil // it begins behind the newest record
}

// Ready returns a channel that receives a value when Next may have something new, the end included.
func (r *Reader) Ready() <-chan struct{} { return r.ready }

// Notify makes Ready receive a value.
func (r *Reader) Notify() { notify(r.ready) }

// SetLimit changes how far the reader may be behind.
func (r *Reader) SetLimit(limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = limit
}

// SkipTo makes a reader that has read nothing begin behind a position, whatever is appended before it.
func (r *Reader) SkipTo(after api.Position) { r.skip = after }

// leave takes the reader out of the log. It is idempotent.
func (r *Reader) leave() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.remove(r)
}

// remove takes a reader out of the log, if it is there. l.mu must be held.
func (l *Log) remove(r *Reader) {
	var left uint64
	switch {
	case r.isParked():
		_, at := l.newsFor(r, nil, l.end)
		left = r.ackedBefore(at.before)
		l.parked.remove(r)
		r.unpark(l.end)
	case r.index >= 0:
		left = r.ackedBefore(r.where().before)
		l.deactivate(r)
	default:
		return
	}
	if l.open.Add(-1) > 0 {
		l.trim()
		return
	}
	l.epoch++
	for _, s := range l.segments {
		s.content.Load().release()
	}
	l.trimmed = newer(l.trimmed, l.newest)
	l.forgetGaps()
	l.segments, l.inUse = nil, 0
	l.parked.uncall()
	l.end.before = left
}

// activate makes r one of the active readers, which begins in s. l.mu must be held.
func (l *Log) activate(r *Reader, s *segment) {
	r.index = len(l.active)
	l.active = append(l.active, r)
	l.keep(r, s)
}

// deactivate is the opposite of activate. l.mu must be held.
func (l *Log) deactivate(r *Reader) {
	last := len(l.active) - 1
	l.active[r.index] = l.active[last]
	l.active[r.index].index = r.index
	l.active[last] = nil
	l.active = l.active[:last]
	r.index = -1
	l.keep(r, nil)
}

// keep makes s the segment that is kept for r, instead of the one before. l.mu must be held.
func (l *Log) keep(r *Reader, s *segment) {
	if r.kept != nil {
		r.kept.readers--
	}
	if r.kept = s; s != nil {
		s.readers++
	}
}

// wake makes a parked reader go on at a place in s. l.mu must be held; the reader's ready must be notified.
func (l *Log) wake(r *Reader, s *segment, at place) {
	l.parked.remove(r)
	l.activate(r, s)
	r.unpark(at)
}

// park makes a reader wait that has read everything, and reports whether it does. l.mu must be held.
func (l *Log) park(r *Reader) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		return false
	}
	l.deactivate(r)
	l.parked.add(r)
	r.parked = true
	return true
}

func (r *Reader) unpark(at place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parked = false
	r.place, r.size = at, 0
}

// Waits reports whether the reader has read everything. It is for the goroutine that reads.
func (r *Reader) Waits() bool { return r.replays == nil && r.isParked() }

func (r *Reader) isParked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parked
}

// where returns where the reader is.
func (r *Reader) where() place {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.place
}

// own returns where the reader is for the goroutine that reads: in the store, if it reads that.
func (r *Reader) own() place {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replays != nil {
		return r.replayed
	}
	return r.place
}

// Progress tells how far the reader has come: the sequence up to which it has read everything, and how many bytes of the log lie
// behind that, -1 while it reads the store. A reader that has read everything waits; then the sequence does not count.
func (r *Reader) Progress() (sequence uint64, lag int64, waits bool) {
	end := r.log.appended.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stored:
		return r.replayed.before, -1, false
	case r.parked:
		return 0, 0, true
	default:
		return r.place.before, max(0, end-r.place.offset), false
	}
}

// reach returns where the reader is, how large the record there is, 0 if that is not known, and its limit.
func (r *Reader) reach() (at place, size, limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.place, r.size, r.limit
}
