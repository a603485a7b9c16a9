package segment

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// FootprintOf looks at a file.
func FootprintOf(path string) Footprint {
	info, err := os.Stat(path)
	if err != nil {
		return Footprint{}
	}
	f := Footprint{Size: info.Size(), Modified: info.ModTime().UnixNano(), Born: born(path)}
	if is, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Device, f.Inode = uint64(is.Dev), is.Ino //nolint:unconvert // it has another type elsewhere
	}
	return f
}

// Before is what is seen of a database before it is opened in this process.
type Before struct {
	Database, Log Footprint
	// Found is the wal-index, nil if there is none that is whole.
	Found *Place
}

// Outcome is how a log goes on.
type Outcome struct {
	// Sequence is the newest that was used.
	Sequence uint64
	// Gap is what is told behind it, 0 if nothing is missing, and Why on what grounds.
	Gap capture.Gap
	Why string
	// Doubt says that the fate of a transaction was not known, but for the write-ahead log.
	Doubt bool
	// Unnamed are the tables of the newest transaction, whose sequence is Commit, of which the shapes were not written any more: Bind
	// says what they are.
	Unnamed []Table
	Commit  uint64
}

// Restore finds out how the log goes on: what has become of the newest transaction, and whether others have written since. Before
// is what was seen before the database was opened; live asks for the wal-index while no other connection can write, and frames looks
// at the write-ahead log.
func (l *Log) Restore(before Before, live *Place, frames func(from, to uint32) (Frames, error)) (Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, t, err := l.newest()
	if f == nil || err != nil {
		return Outcome{Sequence: l.trimmed}, err
	}
	o := Outcome{Sequence: t.sequence()}
	e := &Evidence{Found: before.Found, Live: live, Frames: frames, SameBoot: t.begin.Boot == bootID() && t.begin.Boot != ""}
	inOrder := t.stop != nil && !t.tornSlot
	if l.incomplete || t.damaged || t.tornSlot || !inOrder && !e.SameBoot {
		l.leap(&o) // more may have been delivered than is here
	}
	switch {
	case l.incomplete:
		o.Gap, o.Why = capture.GapLost, "the newest segment file is missing"
	case inOrder:
		o.Gap, o.Why = t.since(before, live)
		if o.Gap == 0 && t.cut {
			o.Gap, o.Why = capture.GapLost, "the segment file is damaged"
		}
		if o.Gap == capture.GapRestored {
			l.leap(&o)
		}
		err = l.findUnnamed(t, newestOf(t.records), &o)
	default:
		err = l.afterCrash(t, e, &o)
	}
	if err != nil {
		return o, err
	}
	switch {
	case o.Gap != 0 || !t.slotted:
	case t.slot.Foreign > 0:
		o.Gap, o.Why = capture.GapExternal, "others had committed"
	case t.slot.Unwritten > 0:
		o.Gap, o.Why = capture.GapLost, "the segment file could not be written"
	}
	if o.Gap != 0 {
		l.state.Gap, o.Unnamed = o.Gap, nil // the schema may be another one by now
	}
	if err := t.extend(nil); err != nil {
		return o, err
	}
	f.end, f.last = t.end, o.Sequence
	return o, l.save()
}

// Lose makes a gap of everything that has committed behind an outcome, because it could not be written. Streams were told of sequences up
// to one.
func (l *Log) Lose(sequence uint64, o *Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.Sequence = max(o.Sequence, sequence-1) // the gap is the next one
	l.state.Gap, o.Gap, o.Why, o.Unnamed = capture.GapLost, capture.GapLost, "the log could not be begun", nil
}

// leap passes over so many sequences that none is used again which may have been delivered and is not known here. A reader
// that is behind one of them is told. l.mu must be held.
func (l *Log) leap(o *Outcome) {
	from := o.Sequence + 1
	o.Sequence = leapOver(o.Sequence)
	l.undo(from, o)
}

// leapOver returns a sequence that is greater than all that may have been used behind one.
func leapOver(sequence uint64) uint64 {
	const bits = 32
	return (sequence>>bits + 1) << bits
}

// undo makes all sequences void from one on. The next one is not used either: a reader goes on there that was behind one of these.
// l.mu must be held.
func (l *Log) undo(from uint64, o *Outcome) {
	l.void(Range{From: from, To: o.Sequence, Undone: true})
	o.Sequence++
	l.void(Range{From: o.Sequence, To: o.Sequence})
}

// newest returns the newest file that a connection has written to, nil if there is none. One that was made just before the program
// ended is removed. l.mu must be held.
func (l *Log) newest() (*file, *tail, error) {
	for len(l.files) > 0 {
		last := len(l.files) - 1
		f := l.files[last]
		t, err := readTail(f.path)
		if err != nil || t.begun() {
			return f, t, err
		}
		for _, r := range t.records {
			l.state.Gap = capture.Gap(r.Detail) // it has nothing but a gap
		}
		all := l.files
		l.files, l.state.Newest, l.state.Begun = l.files[:last], f.first, false
		if last > 0 {
			l.state.Newest, l.state.Begun = l.files[last-1].first, true
		}
		if err := l.save(); err != nil {
			l.files = all
			return nil, nil, err
		}
		if err := os.Remove(f.path); err != nil {
			return nil, nil, fmt.Errorf("segment: %w", err)
		}
	}
	return nil, nil, nil
}

// sequence returns the newest that was used in a file or before.
func (t *tail) sequence() uint64 {
	newest := t.begin.First - 1
	if t.slotted {
		newest = max(newest, t.slot.Sequence)
	}
	for i := range t.records {
		newest = max(newest, t.records[i].Sequence)
	}
	return newest
}

// since says whether others have written since a connection was closed in good order.
func (t *tail) since(before Before, live *Place) (capture.Gap, string) {
	was, is := t.stop.Database, before.Database
	if was.Born == 0 || is.Born == 0 {
		was.Born, is.Born = 0, 0
	}
	switch {
	case was.Inode != is.Inode || was.Device != is.Device || was.Born != is.Born:
		return capture.GapRestored, "the database file is another one than before"
	case t.stop.Log.Size > 0 && live != nil && t.slotted && live.is(t.slot.Behind):
		return 0, "" // another program had the database open
	case t.stop.Log.Size > 0:
		return capture.GapExternal, "the write-ahead log has moved while the database was closed"
	case was != is || before.Log.Size > 0:
		return capture.GapExternal, "the database file was written while it was closed"
	default:
		return 0, ""
	}
}

// afterCrash decides about the newest transaction. l.mu must be held.
func (l *Log) afterCrash(t *tail, e *Evidence, o *Outcome) error {
	v, err := t.decide(e)
	if err != nil {
		v = Verdict{Others: true, Why: err.Error()}
	}
	n := newestOf(t.records)
	o.Why = v.Why
	isCommit := n.commit != nil && n.commit.Kind == capture.SegmentCommit
	o.Doubt = isCommit && (!t.slotted || t.slot.Sequence < n.commit.Sequence)
	switch {
	case v.Undone > 0:
		from := v.Undone
		if v.Fate == Unknown {
			from = l.sinceBoot(t)
		}
		l.undo(from, o)
	case !isCommit || v.Fate == NotCommitted && n.aborted:
	case v.Fate == Committed && n.aborted:
		l.state.Revived = append(l.state.Revived, n.commit.Sequence)
	case v.Fate != Committed:
		l.void(Range{From: n.commit.Sequence, To: n.commit.Sequence})
	}
	switch {
	case v.Fate == Unknown:
		o.Gap = capture.GapUnverified
	case v.Others:
		o.Gap = capture.GapExternal
	}
	if v.Fate == Committed {
		return l.findUnnamed(t, n, o)
	}
	return nil
}

// sinceBoot returns the first sequence of the files that were begun in the run of the system that has ended. l.mu must be held.
func (l *Log) sinceBoot(t *tail) uint64 {
	first := t.begin.First
	for _, f := range slices.Backward(l.files[:len(l.files)-1]) {
		file, err := os.Open(f.path)
		if err != nil {
			break
		}
		_, begin, err := readPage(file)
		_ = file.Close() // it was only read
		if err != nil || begin.Boot != t.begin.Boot {
			break
		}
		first = begin.First
	}
	return first
}

func (l *Log) void(r Range) {
	l.state.Void = slices.DeleteFunc(l.state.Void, func(old Range) bool { return old.To <= l.trimmed || old.From >= r.From && old.To <= r.To })
	if n := len(l.state.Void); n > 0 && l.state.Void[n-1].To+1 == r.From && l.state.Void[n-1].Undone == r.Undone {
		l.state.Void[n-1].To = r.To
		return
	}
	l.state.Void = append(l.state.Void, r)
}

// findUnnamed looks for the tables of the newest transaction, which has committed, of which nothing says what they are.
func (l *Log) findUnnamed(t *tail, n newest, o *Outcome) error {
	if n.commit == nil || n.commit.Kind != capture.SegmentCommit {
		return nil
	}
	c, err := cursorOf(l, t.path, t.end)
	if err != nil {
		return err
	}
	defer c.Close()
	tx, err := c.find(n.commit.Sequence)
	if tx == nil || err != nil {
		return err
	}
	tx.Spilled.Release()
	o.Commit = tx.Sequence
	if !tx.bound {
		for _, table := range tx.Tables {
			if table.Shape == nil {
				o.Unnamed = append(o.Unnamed, table)
			}
		}
	}
	return nil
}

// Bind says what the shapes are that Restore has found without a name, by slot.
func (l *Log) Bind(sequence uint64, shapes map[uint32][]byte) error {
	const firstID = 1 << 31 // those of a connection are smaller
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[len(l.files)-1]
	t, err := readTail(f.path)
	if err != nil {
		return err
	}
	var b []byte
	slots := make(map[uint32]uint32)
	for slot, text := range shapes {
		slots[slot] = firstID + slot
		b = appendRecord(b, &Record{Kind: capture.SegmentShape, Detail: firstID + slot, Sequence: sequence}, text)
	}
	b = appendRecord(b, &Record{Kind: capture.SegmentBind, Sequence: sequence}, Binding(slots))
	if err := t.extend(b); err != nil {
		return err
	}
	f.end = t.end
	return nil
}

// areVoid reports whether all of some sequences are.
func (l *Log) areVoid(from, to uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range slices.SortedFunc(slices.Values(l.state.Void), func(a, b Range) int { return cmp.Compare(a.From, b.From) }) {
		if r.From <= from && r.To >= from {
			from = r.To + 1
		}
	}
	return from > to
}

func (l *Log) isVoid(sequence uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.state.Void, func(r Range) bool { return sequence >= r.From && sequence <= r.To })
}
