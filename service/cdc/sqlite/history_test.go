package sqlite_test

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// told is what a reader of the log was told: a transaction of the ledger, or a gap.
type told struct {
	n, others int64
	gap       *api.GapError
	at        api.Position
}

func (e told) String() string {
	if e.gap != nil {
		return fmt.Sprintf("gap %s %s-%s", e.gap.Cause, e.gap.After, e.gap.Before)
	}
	return fmt.Sprintf("%s: %d+%d", e.at, e.n, e.others)
}

// history reads the log behind a position, gaps included, until a transaction of the ledger that must be there.
func (h *house) history(after api.Position, until int64) (all []told) {
	for {
		s, err := h.catalog.Subscribe(h.t.Context(), cdcID, api.StreamOptions{Start: api.After(after)})
		if err == nil {
			var more []told
			more, err = h.readHistory(s, until)
			s.Close()
			all = append(all, more...)
		}
		if err == nil {
			return all
		}
		var gap *api.GapError
		require.ErrorAs(h.t, err, &gap)
		require.Positive(h.t, gap.Before.Compare(after), "a gap that leads back: %v", gap)
		all = append(all, told{gap: gap, at: gap.Before})
		after = gap.Before
	}
}

func (h *house) readHistory(s api.Stream, until int64) (all []told, err error) {
	next := told{}
	for {
		c, err := s.Next(h.t.Context())
		if err != nil {
			return all, err
		}
		switch {
		case c.Table.Name == "ledger":
			next.n, next.others = c.After[0].Int64(), c.After[1].Int64()+next.others
		case c.Op == api.OpInsert:
			next.others--
		}
		if !c.Last {
			continue
		}
		if next.at = c.Position(); next.n > 0 {
			all = append(all, next)
		}
		if next.n == until {
			return all, nil
		}
		next = told{}
	}
}

// ledger returns the numbers that the database holds.
func (h *house) ledger() (all []int64) {
	rows, err := h.db.Pool().QueryContext(h.t.Context(), "SELECT n FROM ledger ORDER BY n")
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, rows.Close()) }()
	for rows.Next() {
		var n int64
		require.NoError(h.t, rows.Scan(&n))
		all = append(all, n)
	}
	require.NoError(h.t, rows.Err())
	return all
}

// judge compares what a reader was told with what the database holds behind the number that it had. The log may have transactions
// that the database has lost if a gap follows; what the database has and the log has not must lie in a gap.
func judge(holds []int64, had int64, events []told) (gaps int, wrong string) {
	want := slices.DeleteFunc(slices.Clone(holds), func(n int64) bool { return n <= had })
	inGap, lost := false, int64(0)
	last := had
	for _, e := range events {
		if e.gap != nil {
			inGap, lost = true, 0
			gaps++
			continue
		}
		i, held := slices.BinarySearch(want, e.n)
		switch {
		case e.others != 0:
			return gaps, fmt.Sprintf("rows of %d differ by %d", e.n, e.others)
		case e.n <= last:
			return gaps, fmt.Sprintf("%d again or out of order", e.n)
		case lost > 0 && held:
			return gaps, fmt.Sprintf("%d was not committed, and there is no gap behind it", lost)
		case !held:
			lost = e.n
		case i > 0 && !inGap:
			return gaps, fmt.Sprintf("%v are missing without a gap", want[:i])
		}
		if held {
			want, inGap = want[i+1:], false
		}
		last = e.n
	}
	if lost > 0 {
		return gaps, fmt.Sprintf("%d was not committed, and there is no gap behind it", lost)
	}
	return gaps, ""
}
