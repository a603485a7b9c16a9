package log

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// entriesPerTurn is how many entries and records a call of Next looks at before it lets its caller do something else.
const entriesPerTurn = 4096

// Record is a transaction of which a reader accepts something. It is good until the reader's next call of Next, which
// acknowledges it.
type Record struct {
	Sequence uint64
	At       time.Time
	Head     []byte

	reader *Reader
	size   int64
	// next and end are offsets in the segment, index is that of the next entry.
	next, end int64
	index     int
	voids     bool
	// entry was handed out last. If has is set ahead comes next; behind is scratch.
	entry, ahead, behind Entry
	has                  bool
	lastID               uint32
	last                 verdict
}

// Entry is one change of a record.
type Entry struct {
	Shape Shape
	Code  Code
	// Index counts the entries of the record from 0, those included that the reader does not accept.
	Index int
	// Bytes are never written to again, so that values can point into them.
	Bytes []byte
	// Last says that it is the last one of the record that the reader accepts.
	Last bool
}

// Next returns the next record of which the reader accepts something. It returns nil if there is none yet: Ready receives a
// value when it is worth asking again. Any error is the end: why the reader has ended.
func (r *Reader) Next() (*Record, error) {
	r.finish()
	if r.hasFallen() {
		if err := r.stopped(); err != nil {
			return nil, err
		}
		if err := r.catch(api.Behind(r.own().before)); err != nil {
			return nil, err
		}
	}
	if r.replays != nil {
		if record, err := r.fromStore(); record != nil || err != nil || r.replays != nil {
			return record, err
		}
	}
	for turn := 0; ; turn++ {
		at, waits, err := r.state()
		if err != nil {
			r.leave()
			return nil, err
		}
		if waits || turn == entriesPerTurn && r.yield() {
			return nil, nil //nolint:nilnil // as documented
		}
		if r.segment == nil || !r.segment.holds(at.offset) {
			r.enter(at)
			continue
		}
		found, err := r.look(at)
		if err != nil {
			return nil, r.Fail(err)
		}
		if found {
			return &r.record, nil
		}
	}
}

// yield makes Ready receive a value.
func (r *Reader) yield() bool {
	notify(r.ready)
	return true
}

// state returns where the reader is, whether it is parked, and why it has ended if it has.
func (r *Reader) state() (at place, waits bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil && r.end.at.offset <= r.place.offset {
		r.place.before = max(r.place.before, r.end.sequence) // a gap that was told is not told again
		return r.place, false, r.end.err
	}
	return r.place, r.parked, nil
}

// enter makes the segment the reader's that its place is in, or parks the reader if there is none yet.
func (r *Reader) enter(at place) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.index < 0 {
		return // it is parked, or has left
	}
	s := l.find(at.offset)
	if s == nil {
		if l.park(r) {
			r.segment, r.window = nil, window{}
			l.trim()
		}
		return
	}
	l.keep(r, s)
	l.trim()
	r.segment, r.window = s, window{content: s.content.Load()}
	clear(r.verdicts)
}

// look looks at the record at a place. If nothing in it is for the reader it passes over the record.
func (r *Reader) look(at place) (found bool, err error) {
	offset := at.offset - r.segment.begin.offset
	b, err := r.window.at(offset, recordHeader)
	if err != nil {
		return false, err
	}
	h, ok := parseHeader(b)
	if !ok || h.size() > r.segment.size.Load()-offset {
		return false, errCorrupt
	}
	front, err := r.window.at(offset, h.front())
	if err != nil {
		return false, err
	}
	if api.Behind(h.sequence).Compare(r.skip) <= 0 || !r.concerned(front[recordHeader:recordHeader+touchedLength*h.touched]) {
		r.move(at, h.size(), h.sequence)
		return false, nil
	}
	if err := r.begin(at, h.size()); err != nil {
		return false, err
	}
	r.record = Record{
		Sequence: h.sequence, At: time.Unix(0, h.at), Head: front[h.front()-h.head:], reader: r, size: h.size(),
		next: offset + h.front(), end: offset + h.size(), voids: h.flags&hasVoid != 0,
	}
	return true, nil
}

// concerned reports whether a summary says that there may be something for the reader.
func (r *Reader) concerned(touched []byte) bool {
	for ; len(touched) > 0; touched = touched[touchedLength:] {
		id, codes := binary.LittleEndian.Uint32(touched), Codes(touched[4])
		if r.verdictOf(id).codes&codes != 0 {
			return true
		}
	}
	return false
}

func (r *Reader) verdictOf(id uint32) verdict {
	if v, known := r.verdicts[id]; known {
		return v
	}
	v := verdict{shape: r.segment.shape(id)}
	if v.shape != nil {
		v.codes = r.accept(v.shape)
	}
	r.verdicts[id] = v
	return v
}

// begin notes that the record at a place is being read, or returns why the reader ends: too much lies behind the record.
func (r *Reader) begin(at place, size int64) error {
	if r.replays != nil {
		return nil
	}
	r.mu.Lock()
	r.size = size
	limit := r.limit
	r.mu.Unlock()
	l := r.log
	if r.lasting || l.appended.Load()-at.offset-size <= limit {
		return nil
	}
	l.mu.Lock()
	e := l.lag(at, limit)
	l.mu.Unlock()
	r.setEnding(e)
	return e.err
}

// move makes the reader go on behind a record.
func (r *Reader) move(at place, size int64, sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replays != nil {
		r.replayed = place{offset: at.offset + size, records: at.records + 1, before: sequence}
		return
	}
	r.place, r.size = place{offset: at.offset + size, records: at.records + 1, before: sequence}, 0
}

// Done acknowledges the record that was returned last, if all of it was handed out.
func (r *Reader) Done() {
	if rec := &r.record; !rec.has && rec.next == rec.end {
		r.finish()
	}
}

// finish makes the reader go on behind the record that was returned last. It is not read again, should it be appended
// again for others.
func (r *Reader) finish() {
	if rec := &r.record; rec.size > 0 {
		r.move(r.own(), rec.size, rec.Sequence)
		r.skip = newer(r.skip, api.Behind(rec.Sequence))
		*rec = Record{reader: r}
	}
}

// Fail ends a reader because of an error that made a record unreadable, and returns why it ends.
func (r *Reader) Fail(err error) error {
	if known := r.ended(); known != nil { // what it was reading was let go
		err = known
	} else if _, classified := errors.AsType[*errs.Error](err); !classified {
		err = errs.New(errs.Unavailable, "cdc: source %q: read a transaction: %w; resubscribe", r.log.source, err)
	}
	r.End(api.EndLost, err)
	return err
}

// found is what looking for an entry has come to.
type found uint8

const (
	none  found = iota // there is none any more
	some               // there is one
	later              // it has taken long enough for now
)

// Next returns the next entry that the reader accepts, io.EOF behind the last. It returns nil if it has looked at so many others
// that its caller should do something else first; then Ready receives a value.
func (rec *Record) Next() (*Entry, error) {
	e, err := rec.entryAhead()
	if r := rec.reader; err != nil && !errors.Is(err, io.EOF) && r.hasFallen() { // its bytes were let go of: the store has them
		after := api.Behind(rec.Sequence - 1)
		if rec.entry.Bytes != nil {
			after = api.Position{Sequence: rec.Sequence, Index: rec.entry.Index}
		}
		*rec = Record{reader: r}
		if err := r.catch(after); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return e, err
}

func (rec *Record) entryAhead() (*Entry, error) {
	if rec.reader.over.Load() {
		return nil, rec.reader.ended()
	}
	if !rec.has {
		switch what, err := rec.find(&rec.ahead); {
		case err != nil:
			return nil, err
		case what == none:
			return nil, io.EOF
		case what == later:
			return nil, nil //nolint:nilnil // as documented
		}
		rec.has = true
	}
	what, err := rec.find(&rec.behind)
	switch {
	case err != nil:
		return nil, err
	case what == later:
		return nil, nil //nolint:nilnil // as documented
	}
	rec.entry, rec.ahead = rec.ahead, rec.behind
	rec.has = what == some
	rec.entry.Last = !rec.has
	return &rec.entry, nil
}

// find looks for the next entry that the reader accepts.
func (rec *Record) find(e *Entry) (found, error) {
	r := rec.reader
	for turn := 0; rec.next < rec.end; turn++ {
		if turn == entriesPerTurn {
			r.yield()
			return later, nil
		}
		b, err := r.window.at(rec.next, EntryHeader)
		if err != nil {
			return none, err
		}
		size := int64(binary.LittleEndian.Uint32(b))
		if size < EntryHeader || rec.next+size > rec.end {
			return none, errCorrupt
		}
		if b, err = r.window.at(rec.next, size); err != nil {
			return none, err
		}
		rec.next += size
		if rec.voids && r.void(rec.Head, b) {
			continue
		}
		index := rec.index
		rec.index++
		id, code := EntryTable(b), EntryCode(b)
		if id != rec.lastID || rec.last.shape == nil {
			rec.lastID, rec.last = id, r.verdictOf(id)
		}
		if rec.last.codes.Has(code) && (rec.Sequence > r.skip.Sequence || index > r.skip.Index) {
			*e = Entry{Shape: rec.last.shape, Code: code, Index: index, Bytes: b}
			return some, nil
		}
	}
	return none, nil
}
