package segment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/segment"
)

// The rows of the tables in DESIGN.md. P is the place before the newest transaction, whose sequence is 9, and Q the one behind it.
func TestWhatHasBecomeOfTheNewestTransaction(t *testing.T) {
	t.Parallel()
	type place = segment.Place
	p, q := place{10, 20, 5, 100, 1, 2}, place{10, 20, 7, 101, 3, 4}
	earlier := place{10, 20, 3, 99, 8, 9}
	anew := func(frames, changes uint32) *place { return &place{11, 77, frames, changes, 5, 6} }
	commit := segment.Record{Kind: capture.SegmentCommit, Sequence: 9, Before: p}
	first := segment.Record{Kind: capture.SegmentCommit, Sequence: 8, Before: earlier}
	abort := segment.Record{Kind: capture.SegmentAbort, Sequence: 9, Before: p}
	mark := segment.Record{Kind: capture.SegmentMark, Sequence: 9, Before: q}
	rival := []segment.Record{{Kind: capture.SegmentCommit, Sequence: 8, Before: p}, {Kind: capture.SegmentAbort, Sequence: 8, Before: p}, commit}
	settled, before := &segment.Slot{Sequence: 9, Behind: q}, &segment.Slot{Sequence: 8, Behind: p}
	aborted := &segment.Slot{Sequence: 9, Behind: p, Aborted: true}
	one := segment.Frames{Commits: 1, EndsInCommit: true, Check1: p.Check1, Check2: p.Check2}
	oneBehindQ := segment.Frames{Commits: 1, EndsInCommit: true, Check1: q.Check1, Check2: q.Check2}
	more := &place{10, 20, 9, 102, 7, 7}
	type records = []segment.Record
	const (
		unknown      = segment.Unknown
		committed    = segment.Committed
		notCommitted = segment.NotCommitted
	)
	for name, c := range map[string]struct {
		records     records
		slot        *segment.Slot
		found, live *place
		frames      segment.Frames
		other       bool // another boot
		unsynced    bool
		damaged     bool
		fate        segment.Fate
		others      bool
		undone      uint64
	}{
		"settled: L = Q":                                   {records: records{commit}, slot: settled, found: &q, live: &q, fate: committed},
		"settled: the WAL was emptied":                     {records: records{commit}, slot: settled, found: &q, live: anew(0, 101), fate: committed},
		"settled: the WAL was emptied, and H is missing":   {records: records{commit}, slot: settled, live: anew(0, 101), fate: committed, others: true},
		"settled: the WAL has more":                        {records: records{commit}, slot: settled, found: more, live: more, fate: committed, others: true},
		"settled: a later one was taken back":              {records: records{commit}, slot: &segment.Slot{Sequence: 10, Behind: q, Aborted: true}, found: &q, live: &q, fate: committed},
		"a log that has just begun":                        {live: &q, fate: committed},
		"a mark: L = where it was":                         {records: records{commit, mark}, slot: settled, found: &q, live: &q, fate: committed},
		"a mark: one commit":                               {records: records{commit, mark}, slot: settled, found: more, live: more, frames: oneBehindQ, fate: committed},
		"a mark: two commits":                              {records: records{commit, mark}, slot: settled, found: &place{10, 20, 9, 103, 7, 7}, live: more, frames: segment.Frames{Commits: 2, EndsInCommit: true, Check1: q.Check1, Check2: q.Check2}, fate: committed, others: true},
		"a mark behind a rollback":                         {records: records{commit, abort, mark}, slot: aborted, found: &p, live: &p, fate: unknown, others: true},
		"H = P, L = P":                                     {records: records{commit}, slot: before, found: &p, live: &p, fate: notCommitted},
		"H = P, the WAL begun anew and empty":              {records: records{commit}, slot: before, found: &p, live: anew(0, 100), fate: notCommitted},
		"H = P, one commit":                                {records: records{commit}, slot: before, found: &p, live: &q, frames: one, fate: committed},
		"H = P, one commit, though it was rolled back":     {records: records{commit, abort}, slot: aborted, found: &p, live: &q, frames: one, fate: committed},
		"H = P, one commit behind other frames":            {records: records{commit}, slot: before, found: &p, live: &q, frames: oneBehindQ, fate: unknown, others: true},
		"H = P, two commits":                               {records: records{commit}, slot: before, found: &p, live: &q, frames: segment.Frames{Commits: 2, EndsInCommit: true, Check1: 1, Check2: 2}, fate: unknown, others: true},
		"H = P, alone in the next WAL":                     {records: records{commit}, slot: before, found: &p, live: anew(3, 1), frames: one, fate: committed},
		"H = P, one commit, and a rival":                   {records: rival, slot: before, found: &p, live: &q, frames: one, fate: unknown, others: true},
		"H = P, L is another log":                          {records: records{commit}, slot: before, found: &p, live: &place{55, 1, 3, 1, 1, 1}, fate: unknown, others: true},
		"H moved":                                          {records: records{commit}, slot: before, found: &q, live: &q, frames: one, fate: unknown, others: true},
		"H moved, and the next one has begun the WAL anew": {records: records{commit}, slot: before, found: &q, live: anew(3, 1), frames: one, fate: unknown, others: true},
		"an empty WAL is no identity":                      {records: records{{Kind: capture.SegmentCommit, Sequence: 9, Before: place{0, 0, 0, 0, 0, 0}}}, slot: before, found: &q, live: &place{}, fate: unknown, others: true},
		"H torn, one commit":                               {records: records{commit}, slot: before, live: &q, frames: one, fate: committed},
		"H torn, L = P":                                    {records: records{commit}, slot: before, live: &p, fate: notCommitted},
		"H torn, one commit, though it was rolled back":    {records: records{commit, abort}, slot: aborted, live: &q, frames: one, fate: unknown, others: true},
		"H torn, an empty WAL":                             {records: records{commit}, slot: before, live: anew(0, 0), fate: unknown, others: true},
		"no WAL":                                           {records: records{commit}, slot: before, fate: unknown, others: true},
		"power loss: L = P":                                {records: records{first, commit}, slot: before, live: &p, other: true, fate: notCommitted, undone: 9},
		"power loss: L = the place before an earlier one":  {records: records{first, commit}, slot: settled, live: &earlier, other: true, fate: notCommitted, undone: 8},
		"power loss: L = Q":                                {records: records{first, commit}, slot: settled, live: &q, other: true, fate: committed},
		"power loss: else":                                 {records: records{first, commit}, slot: settled, live: more, other: true, fate: unknown, others: true, undone: 1},
		"power loss: an empty WAL":                         {records: records{first, commit}, slot: settled, live: anew(0, 101), other: true, fate: unknown, others: true, undone: 1},
		"power loss: synchronous off":                      {records: records{first, commit}, slot: settled, live: &q, other: true, unsynced: true, fate: unknown, others: true, undone: 1},
		"the WAL was cut: L = P":                           {records: records{first, commit}, slot: settled, found: &q, live: &p, fate: notCommitted, undone: 9},
		"the WAL was cut":                                  {records: records{first, commit}, slot: settled, found: &q, live: &place{10, 20, 6, 100, 1, 1}, fate: unknown, others: true, undone: 1},
		"the header page is damaged":                       {records: records{first, commit}, slot: settled, found: &q, live: &q, damaged: true, fate: unknown, others: true, undone: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tail := segment.Tail{Records: c.records, Slot: c.slot, Unsynced: c.unsynced, Damaged: c.damaged}
			v, err := tail.Decide(&segment.Evidence{
				Found: c.found, Live: c.live, SameBoot: !c.other,
				Frames: func(uint32, uint32) (segment.Frames, error) { return c.frames, nil },
			})
			require.NoError(t, err)
			require.Equal(t, []any{c.fate, c.others, c.undone}, []any{v.Fate, v.Others, v.Undone}, v.Why)
		})
	}
}

// A copy that is put back may have the inode of the file that it takes the place of, and its size and time.
func TestACopyIsAnotherFile(t *testing.T) {
	t.Parallel()
	left := segment.Footprint{Device: 1, Inode: 2, Size: 3, Modified: 4, Born: 5}
	with := func(change func(f *segment.Footprint)) segment.Footprint {
		f := left
		change(&f)
		return f
	}
	require.Zero(t, segment.Since(left, left))
	require.Equal(t, capture.GapRestored, segment.Since(left, with(func(f *segment.Footprint) { f.Inode = 9 })))
	require.Equal(t, capture.GapRestored, segment.Since(left, with(func(f *segment.Footprint) { f.Born = 9 })))
	require.Equal(t, capture.GapExternal, segment.Since(left, with(func(f *segment.Footprint) { f.Modified = 9 })))
	unknown := with(func(f *segment.Footprint) { f.Born = 0 })
	require.Zero(t, segment.Since(left, unknown), "another file system does not tell")
	require.Zero(t, segment.Since(unknown, left), "what was written before did not")
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	seen := segment.FootprintOf(path)
	require.NotZero(t, seen.Inode)
	require.Zero(t, segment.Since(seen, segment.FootprintOf(path)))
}
