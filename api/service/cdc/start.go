package cdc

import "fmt"

// Start says where a stream begins. The zero Start leaves it to the entry of the source: if it says snapshot, streams
// begin with one until the first of them has been read in full, now or in an earlier run; else they are live.
type Start struct {
	place      place
	position   Position
	generation string
}

type place uint8

const (
	asDeclared place = iota
	live
	snapshot
	after
)

// Live begins with what commits from now on.
func Live() Start { return Start{place: live} }

// Snapshot begins with the rows as of one position in the log, as changes of OpSnapshot, and goes on with what was
// committed behind it.
func Snapshot() Start { return Start{place: snapshot} }

// After begins behind a position of the log. One that has left the log is a GapError. A transaction of such a stream is
// acknowledged when its reader comes back for the next one.
func After(p Position) Start { return Start{place: after, position: p} }

// AfterCursor begins behind a change, or a gap, of that cursor. One of another generation than that of the source is
// Invalid, and so is what is no cursor.
func AfterCursor(cursor string) (Start, error) {
	generation, p, err := ParseCursor(cursor)
	if err != nil {
		return Start{}, err
	}
	return Start{place: after, position: p, generation: generation}, nil
}

// After returns the position behind which the stream begins, false if it begins elsewhere.
func (s Start) After() (Position, bool) { return s.position, s.place == after }

// Generation returns that of the cursor behind which the stream begins, "" if there is none.
func (s Start) Generation() string { return s.generation }

// String says where the stream begins, in the words of the options of scripts.
func (s Start) String() string {
	switch s.place {
	case live:
		return "live"
	case snapshot:
		return "snapshot"
	case after:
		return fmt.Sprintf("after %s", s.position)
	case asDeclared:
		return "as declared"
	default:
		return "unknown"
	}
}
