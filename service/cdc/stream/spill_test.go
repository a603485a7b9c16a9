package stream_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func TestTheLogKeepsInFilesWhatIsCommittedDuringASnapshot(t *testing.T) {
	for _, buffer := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixed(t, 16*unit.KiB)
			snap := &snapshot{n: 2, gate: make(chan struct{})}
			s := f.open(t, api.StreamOptions{Buffer: buffer}, snap)
			live := open(t, f.Streams, api.StreamOptions{})
			for i := range int64(100) {
				f.w.commitOf(1000, i)
				synctest.Wait()
				require.Equal(t, i, take(t, live, 1)[0].After[0].Int64())
			}
			var stats api.Stats
			f.Measure(&stats)
			require.Equal(t, int64(100_000), stats.LagBytes)
			require.Equal(t, int64(100_000), stats.LogBytes)
			require.Equal(t, 1, f.Admission().Snapshots)
			close(snap.gate)
			take(t, s, 2)
			for i := range int64(100) {
				f.w.commitOf(1000, 100+i)
				synctest.Wait()
				require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
				require.Equal(t, 100+i, take(t, live, 1)[0].After[0].Int64())
			}
			for i := range int64(100) {
				require.Equal(t, 100+i, take(t, s, 1)[0].After[0].Int64())
			}
			c, err := s.Poll()
			require.NoError(t, err)
			require.Nil(t, c)
			require.Equal(t, int64(16*unit.KiB), f.Admission().ReservedBytes, "it has caught up")
			f.w.commitOf(1000, 200)
			require.Equal(t, int64(200), take(t, s, 1)[0].After[0].Int64())
		})
	}
}

func TestHowFarASnapshotMayBeBehindHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, 16*unit.KiB)
		s := f.open(t, api.StreamOptions{MaxBytes: 5000}, &snapshot{n: 2, gate: make(chan struct{})})
		f.w.commitOf(100_000, 0)
		for range 5 {
			f.w.commitOf(1000, 0)
			synctest.Wait()
			require.NoError(t, s.Err())
		}
		f.w.commitOf(1000, 0)
		synctest.Wait()
		require.EqualError(t, s.Err(), "stream fell behind: 103.5 KiB in 7 transactions unread, limit 4.9 KiB; "+
			"read faster, raise max_bytes, or resubscribe with snapshot = true")
		require.Zero(t, f.Admission())
		require.Zero(t, f.Held())
	})
}

func TestWhatCannotBeWrittenToAFileEndsTheStreamsThatNeedIt(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	t.Setenv("TMPDIR", missing)
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, 16*unit.KiB)
		snap := &snapshot{n: 2, gate: make(chan struct{})}
		s := f.open(t, api.StreamOptions{}, snap)
		live := open(t, f.Streams, api.StreamOptions{})
		for i := range int64(100) {
			f.w.commitOf(1000, i)
			synctest.Wait()
			require.Equal(t, i, take(t, live, 1)[0].After[0].Int64())
		}
		require.NoError(t, s.Err(), "it may yet be closed before it comes there")
		close(snap.gate)
		changes, err := rest(t, s)
		require.Len(t, changes, 2)
		require.ErrorContains(t, err, `cdc: source "app:cdc": read a transaction: keep what a stream has yet to read: make a temporary file: `)
		require.ErrorContains(t, err, missing)
		require.ErrorContains(t, err, "; resubscribe")
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.NoError(t, live.Err())
		require.Equal(t, 1, f.Admission().Active)
	})
}

func TestClosingWhileStreamsAreInFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, 16*unit.KiB)
		snap := &snapshot{n: 2, gate: make(chan struct{})}
		s := f.open(t, api.StreamOptions{}, snap)
		stuck := open(t, f.Streams, api.StreamOptions{})
		for i := range int64(15) {
			f.w.commitOf(1000, i)
		}
		s.Close()
		f.Close(errOver)
		changes, err := rest(t, stuck)
		require.Equal(t, errOver, err)
		require.Len(t, changes, 15)
		require.Zero(t, f.Held())
	})
}
