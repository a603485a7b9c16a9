//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	apicdc "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// paused opens a stream on 3000 rows whose reader has taken only the first.
func paused(t *testing.T, h *house, opts apicdc.StreamOptions) apicdc.Stream {
	t.Helper()
	h.exec("CREATE TABLE a_first (id INTEGER PRIMARY KEY)")
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO a_first SELECT i FROM n")
	opts.Snapshot, opts.Buffer = apicdc.SnapshotAlways, 1
	s := h.subscribe(cdcID, opts)
	take(t, s, 1)
	return s
}

// undrained is what the log may hold, because a drain is in no hurry.
const undrained = int64(unit.MiB) + 10_000

// drained waits until the log holds no more than that, and returns the stats.
func (h *house) drained() apicdc.Stats {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return h.catalog.Stats()[0].LogBytes <= undrained }, time.Minute, 5*time.Millisecond)
	return h.catalog.Stats()[0]
}

func TestWhatIsCommittedDuringASnapshotComesBehindItWhole(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	behind := paused(t, h, apicdc.StreamOptions{Schema: true})
	live := h.subscribe(cdcID, apicdc.StreamOptions{Schema: true, Snapshot: apicdc.SnapshotNever})
	random := rand.New(rand.NewPCG(1, 2))
	var want []*apicdc.Change
	n := 0
	for i := range 300 {
		switch i % 60 {
		case 10:
			h.exec(fmt.Sprintf("CREATE TABLE t%d (a, b)", i))
			n++
		case 20:
			h.exec("INSERT INTO orders VALUES (?, zeroblob(?)), (?, zeroblob(?)), (?, 'the end')", 10*i, unit.MiB, 10*i+1, unit.MiB, 10*i+2)
			n += 3
		case 30:
			h.transact("DELETE FROM orders", "INSERT INTO users(name) VALUES ('x')", "UPDATE users SET score = 7 WHERE id = 1")
			n = -1
		default:
			h.exec("INSERT INTO users(name, score) VALUES (hex(randomblob(?)), ?)", random.IntN(30_000), i)
			n++
		}
		if n < 0 || i == 299 { // read the live stream up to the newest transaction
			for {
				c := take(t, live, 1)[0]
				want = append(want, c)
				if c.Last && c.Transaction.LSN == h.info().LSN {
					break
				}
			}
			n = 0
		}
	}
	stats := h.drained()
	require.Greater(t, stats.LagBytes, int64(5*unit.MiB))
	take(t, behind, 2999)
	for i, got := range take(t, behind, len(want)) {
		requireSame(t, want[i], got)
	}
	h.user("afterwards")
	requireSame(t, take(t, live, 1)[0], take(t, behind, 1)[0])
	require.Zero(t, h.catalog.Stats()[0].LagBytes)
	require.Equal(t, stats.Changes[apicdc.OpInsert]+1, h.catalog.Stats()[0].Changes[apicdc.OpInsert], "counted once")
}

// requireSame compares what two streams have delivered.
func requireSame(t *testing.T, want, got *apicdc.Change) {
	t.Helper()
	require.Equal(t, want.Cursor(), got.Cursor())
	require.Equal(t, want.Op, got.Op)
	require.Equal(t, want.Last, got.Last)
	require.Equal(t, want.Table, got.Table)
	require.Equal(t, want.Reshape, got.Reshape)
	require.True(t, want.Transaction.CommittedAt.Equal(got.Transaction.CommittedAt))
	require.Equal(t, []int64{want.OldRowID, want.NewRowID}, []int64{got.OldRowID, got.NewRowID})
	require.True(t, slices.Equal(want.Before, got.Before) && slices.Equal(want.After, got.After), "%v %v", want.Cursor(), want.Table.Name)
}

func TestBacklogDoesNotCostMemory(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := paused(t, h, apicdc.StreamOptions{})
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	const transactions = 1200
	for i := range transactions {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(100000))", i)
		if i%100 == 0 {
			h.drained() // however slow the machine is
		}
	}
	for range 100 {
		h.exec("INSERT INTO users(name) VALUES ('small')")
	}
	require.Greater(t, h.drained().LagBytes, int64(100*unit.MiB))
	require.Less(t, heap()-before, int64(8*unit.MiB))
	take(t, s, 2999)
	most := int64(0)
	for i := range transactions {
		c := take(t, s, 1)[0]
		require.Equal(t, int64(i), c.After[0].Int64())
		require.Len(t, c.After[1].Bytes(), 100_000)
		if i%400 == 200 {
			most = max(most, heap())
		}
	}
	require.Less(t, most-before, int64(48*unit.MiB), "what is kept together with one change is bounded")
	take(t, s, 100)
	require.NoError(t, s.Err())
}

func TestOnlyWhatAStreamSelectsIsKeptForIt(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := paused(t, h, apicdc.StreamOptions{Tables: []string{"users", "a_first"}})
	for i := range 50 {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(100000))", i)
	}
	h.user("selected")
	require.LessOrEqual(t, h.drained().LagBytes, undrained)
	take(t, s, 2999)
	require.Equal(t, "selected", take(t, s, 1)[0].After[1].Bytes())
	require.Equal(t, uint64(51), h.catalog.Stats()[0].Changes[apicdc.OpInsert])
}

func TestLossDuringASnapshotEndsTheStreamInItsPlace(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := paused(t, h, apicdc.StreamOptions{})
	h.user("before")
	h.exec("INSERT INTO orders VALUES (2, zeroblob(?)), (22, 'beyond the limit')", maxTransaction+1)
	h.user("after")
	take(t, s, 2999)
	require.Equal(t, "before", take(t, s, 1)[0].After[1].Bytes())
	_, err := s.Next(t.Context())
	require.ErrorContains(t, err, "changes were lost: ")
}

func TestBacklogThatCannotBeKept(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := paused(t, h, apicdc.StreamOptions{})
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	for i := range 100 {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(100000))", i)
	}
	for range s.Ready() {
		// until it is closed
	}
	require.ErrorContains(t, s.Err(), `cdc: source "app:cdc": keep what was committed during the snapshot: make a temporary file: `)
	require.ErrorIs(t, s.Err(), os.ErrNotExist)
	require.Equal(t, uint64(1), h.catalog.Stats()[0].Ended[apicdc.EndLost])
}

func TestStreamsThatAreClosedWithABacklog(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	closed := paused(t, h, apicdc.StreamOptions{})
	ended := h.subscribe(cdcID, apicdc.StreamOptions{Snapshot: apicdc.SnapshotAlways, Buffer: 1})
	for i := range 50 {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(100000))", i)
	}
	closed.Close()
	take(t, ended, 3020)
	require.NoError(t, run.stop())
	require.Error(t, ended.Err())
}
