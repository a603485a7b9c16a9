package segment

import (
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Evidence is what is found of a database whose writer has ended, apart from the segment files.
type Evidence struct {
	// Found is the wal-index as it lay there before the database was opened in this process; nil if there was none that is whole.
	Found *Place
	// Live is that of the database while no other connection can write; nil if there is none.
	Live *Place
	// Frames looks at frames of the write-ahead log.
	Frames func(from, to uint32) (Frames, error)
	// SameBoot is whether the operating system has run since the segment was begun.
	SameBoot bool
}

// Frames is what is found in a range of frames (from, to] of a write-ahead log.
type Frames struct {
	// Commits is how many of them end a transaction, EndsInCommit whether the last one does.
	Commits      int
	EndsInCommit bool
	// Check1 and Check2 are the checksum of the frame from.
	Check1, Check2 uint32
}

// Verdict is what has become of the newest transaction of a log, and whether others may have written since.
type Verdict struct {
	Fate Fate
	// Others says that others have written, or that it cannot be excluded, and Why on what grounds; for logs of the program.
	Others bool
	Why    string
	// Undone is the first sequence of those that may be undone by a loss of power, 0 if there are none, or all if it is the
	// first of the file.
	Undone uint64
}

// Fate is what has become of a transaction.
type Fate uint8

// The fates.
const (
	Unknown Fate = iota
	Committed
	NotCommitted
)

// newest is what decides about the newest transaction of a file.
type newest struct {
	commit *Record
	// aborted says that it was rolled back as far as the writer knew, marked that a statement without a commit hook may have
	// followed, where mark is; rivals counts transactions before that were aborted at the same place, and that recovery may
	// have brought back in place of this one.
	aborted bool
	mark    *Record
	rivals  int
}

func newestOf(records []Record) (n newest) {
	i := len(records) - 1
	for ; i >= 0 && records[i].Kind != capture.SegmentCommit && records[i].Kind != capture.SegmentGap; i-- {
		switch r := &records[i]; r.Kind {
		case capture.SegmentAbort:
			n.aborted = true
		case capture.SegmentMark:
			if n.mark == nil {
				n.mark = r
			}
		default: // it tells nothing of what has become of the transaction
		}
	}
	if i < 0 {
		return n
	}
	n.commit = &records[i]
	for k := i - 1; k >= 0 && records[k].Before == n.commit.Before; k-- {
		if records[k].Kind == capture.SegmentAbort {
			n.rivals++
		}
	}
	return n
}

// decide says what has become of the newest transaction after the writer has ended without a stop. The rules and why they hold are
// in DESIGN.md of the package above.
func (t *tail) decide(e *Evidence) (Verdict, error) {
	if e.Live == nil {
		return unverified("the database has no write-ahead log")
	}
	n := newestOf(t.records)
	switch behind := t.slot.Behind; {
	case t.damaged:
		return Verdict{Others: true, Undone: t.begin.First, Why: "the header page of the segment file is damaged"}, nil
	case !e.SameBoot, t.slotted && e.Live.sameLog(behind) && e.Live.Frames < behind.Frames: // the write-ahead log was cut
		return t.decideByIdentity(n, e), nil
	case n.mark != nil:
		return t.behindMark(n, e)
	case n.commit == nil || t.settles(n.commit):
		return t.settled(e), nil
	default:
		return inDoubt(n, e)
	}
}

// settles reports whether the slot says that a transaction has committed.
func (t *tail) settles(r *Record) bool {
	return t.slotted && (t.slot.Sequence > r.Sequence || t.slot.Sequence == r.Sequence && !t.slot.Aborted)
}

// settled is for when the newest transaction is known to have committed: did others write since?
func (t *tail) settled(e *Evidence) Verdict {
	live, behind := *e.Live, t.slot.Behind
	switch {
	case !t.slotted:
		return Verdict{Fate: Committed, Why: "the log has just begun"}
	case live.is(behind):
		return Verdict{Fate: Committed, Why: "settled"}
	case e.Found != nil && e.Found.Changes == behind.Changes && live.Frames == 0 &&
		(live.Salt1 == behind.Salt1+1 || behind.Frames == 0 || e.Found.Frames == 0):
		return Verdict{Fate: Committed, Why: "settled, and the write-ahead log was emptied since"}
	default:
		return Verdict{Fate: Committed, Others: true, Why: "the write-ahead log has moved since the newest transaction was settled"}
	}
}

// behindMark is for when a statement may have been at work whose commit no hook tells about.
func (t *tail) behindMark(n newest, e *Evidence) (Verdict, error) {
	live, mark := *e.Live, n.mark.Before
	v := Verdict{Fate: Committed, Why: "settled by a mark"}
	if n.commit != nil && n.aborted {
		return Verdict{Fate: Unknown, Others: true, Why: "a transaction that was rolled back, and a statement without a commit hook"}, nil
	}
	if live.is(mark) || t.slotted && live.is(t.slot.Behind) {
		return v, nil
	}
	one := live.Salt1 == mark.Salt1+1 && live.Frames == 0
	switch {
	case live.sameLog(mark) && live.Frames > mark.Frames:
		f, err := e.Frames(mark.Frames, live.Frames)
		if err != nil {
			return v, err
		}
		one = f.oneBehind(mark)
	case live.Salt1 == mark.Salt1+1 && live.Frames > 0:
		f, err := e.Frames(0, live.Frames)
		if err != nil {
			return v, err
		}
		one = f.Commits == 1 && f.EndsInCommit
	}
	if !one || e.Found == nil || e.Found.Changes != mark.Changes && e.Found.Changes != mark.Changes+1 {
		v.Others, v.Why = true, "the write-ahead log has moved behind a mark"
	}
	return v, nil
}

// oneBehind reports whether the frames are exactly one transaction behind a place.
func (f Frames) oneBehind(p Place) bool {
	return f.Commits == 1 && f.EndsInCommit && (p.Frames == 0 || f.Check1 == p.Check1 && f.Check2 == p.Check2)
}

func unverified(why string) (Verdict, error) {
	return Verdict{Fate: Unknown, Others: true, Why: why}, nil
}

// inDoubt is for when the writer ended between the commit hook and what settles a transaction.
func inDoubt(n newest, e *Evidence) (Verdict, error) {
	live, before := *e.Live, n.commit.Before
	if e.Found == nil {
		return withoutIndex(n, e)
	}
	found := *e.Found
	// No connection has published anything since the hook: the index is as it was, or the log was begun anew without a commit.
	untouched := found.Changes == before.Changes && (found.is(before) || found.Frames == 0 && found.Salt1 == before.Salt1+1)
	switch {
	case live.Frames == 0 && before.Frames == 0 && !untouched:
		return unverified("an empty write-ahead log is no identity")
	case !untouched:
		return unverified("a commit was published, by this transaction or by others")
	case live.sameLog(before) && live.Frames == before.Frames:
		if !live.is(before) {
			return unverified("the write-ahead log has other frames")
		}
		return Verdict{Fate: NotCommitted, Why: "the write-ahead log is as it was before"}, nil
	case live.Frames == 0 && (live.Salt1 == before.Salt1+1 || before.Frames == 0 || found.Frames == 0):
		return Verdict{Fate: NotCommitted, Why: "the write-ahead log was begun anew and is empty"}, nil
	case live.sameLog(before) && live.Frames > before.Frames:
		f, err := e.Frames(before.Frames, live.Frames)
		if err != nil {
			return Verdict{}, err
		}
		return theOnlyOne(n, f.oneBehind(before), "its commit is in the write-ahead log")
	case live.Frames > 0 && (live.Salt1 == before.Salt1+1 || before.Frames == 0 && before.Salt1 == 0):
		f, err := e.Frames(0, live.Frames)
		if err != nil {
			return Verdict{}, err
		}
		return theOnlyOne(n, f.Commits == 1 && f.EndsInCommit, "its commit is in a write-ahead log that was begun anew")
	default:
		return unverified("the write-ahead log is another one")
	}
}

func theOnlyOne(n newest, is bool, why string) (Verdict, error) {
	switch {
	case n.rivals > 0:
		return unverified("a transaction that was rolled back before may have been brought back in its place")
	case !is:
		return unverified("the write-ahead log has more than its commit")
	}
	return Verdict{Fate: Committed, Why: why}, nil
}

// withoutIndex is for when the index was being written, or is missing: the write-ahead log alone decides.
func withoutIndex(n newest, e *Evidence) (Verdict, error) {
	live, before := *e.Live, n.commit.Before
	if n.aborted || n.rivals > 0 {
		return unverified("the index of the write-ahead log is torn, and a transaction was rolled back")
	}
	if live.Frames > 0 && live.is(before) {
		return Verdict{Fate: NotCommitted, Why: "the write-ahead log is as it was before"}, nil
	}
	from := before.Frames
	switch {
	case live.sameLog(before) && live.Frames > before.Frames:
	case live.Salt1 == before.Salt1+1 && before.Salt1 != 0 && live.Frames > 0:
		from = 0
	default:
		return unverified("the index of the write-ahead log is torn")
	}
	f, err := e.Frames(from, live.Frames)
	if err != nil {
		return Verdict{}, err
	}
	if from == 0 && f.Commits == 1 && f.EndsInCommit || from > 0 && f.oneBehind(before) {
		return Verdict{Fate: Committed, Why: "its commit is in the write-ahead log, whose index is torn"}, nil
	}
	return unverified("the index of the write-ahead log is torn")
}

// decideByIdentity is for when the operating system has ended as well: files may be older than others. Only what names the content of
// the write-ahead log is believed: the log holds up to the transaction that begins, or ends, where it ends.
func (t *tail) decideByIdentity(n newest, e *Evidence) Verdict {
	live := *e.Live
	settled := t.slotted && !t.slot.Aborted && (n.commit == nil || t.settles(n.commit))
	switch {
	case t.begin.Unsynced:
	case live.Frames == 0:
	case settled && live.is(t.slot.Behind):
		return Verdict{Fate: Committed, Why: "the write-ahead log ends behind the newest transaction"}
	default:
		for i := range t.records {
			if r := &t.records[i]; r.Kind == capture.SegmentCommit && live.is(r.Before) {
				return Verdict{Fate: NotCommitted, Undone: r.Sequence, Why: "the write-ahead log ends where a transaction begins"}
			}
		}
	}
	return Verdict{Fate: Unknown, Others: true, Undone: t.begin.First, Why: "the system has ended, and the write-ahead log does not tell how far it was"}
}
