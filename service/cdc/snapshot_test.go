package cdc_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// snapshot is a hand-made snapshot of n users.
type snapshot struct {
	header api.Transaction
	n, at  int
	// gate, if there is one, holds it up before the row of index 1 until it is closed.
	gate   chan struct{}
	fault  error
	closed atomic.Bool
}

func (s *snapshot) Next(ctx context.Context, c *api.Change) error {
	if s.at == 1 && s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.at == s.n {
		if s.fault != nil {
			return s.fault
		}
		return io.EOF
	}
	c.Op, c.Table, c.Transaction, c.Index = api.OpSnapshot, users, &s.header, s.at
	image := sql.IntegerValue(int64(s.at))
	c.Before, c.After = nil, append(c.After, image, image)
	s.at++
	return nil
}

func (s *snapshot) Close() { s.closed.Store(true) }

// prelude returns a prelude that begins s at the present end of the log.
func prelude(w *writer, s *snapshot) cdc.Prelude {
	return cdc.Prelude{Begin: func(_ context.Context, _ *cdc.Selection, join func() error) (cdc.Snapshot, error) {
		s.header = api.Transaction{Source: sourceID, Generation: "g", Sequence: w.sequence}
		return s, join()
	}}
}

func subscribeSnapshot(t *testing.T, w *writer, opts api.StreamOptions, p cdc.Prelude) api.Stream {
	t.Helper()
	s, err := w.log.SubscribeSnapshot(t.Context(), opts, p)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestSnapshotComesFirstAndNothingIsMissed(t *testing.T) {
	for _, buffer := range []int{1, 2, 64} {
		log, w := newLog(t, unit.MiB)
		w.commit(10, inserts(1, 1)...)
		snap := &snapshot{n: 3, gate: make(chan struct{})}
		s := subscribeSnapshot(t, w, api.StreamOptions{Buffer: buffer, Ops: []api.Op{api.OpInsert}}, prelude(w, snap))
		w.commit(10, inserts(2, 1)...)
		w.commit(10, row{users, api.OpDelete, 3}, row{users, api.OpInsert, 4})
		close(snap.gate)
		require.Equal(t, []string{
			"1.0 snapshot users 0", "1.1 snapshot users 1", "1.2 snapshot users 2 !", "2.0 insert users 2 !", "3.1 insert users 4 !",
		}, lines(take(t, s, 5)))
		require.True(t, snap.closed.Load())
		s.Close()
		requireHeld(t, log, 0, 0)
	}
}

func TestLaggardDuringItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 16*1000)
		for _, other := range []bool{false, true} {
			snap := &snapshot{n: 10, gate: make(chan struct{})}
			s := subscribeSnapshot(t, w, api.StreamOptions{MaxBytes: 8000}, prelude(w, snap))
			var beside api.Stream
			if other {
				beside = subscribe(t, log, api.StreamOptions{})
			}
			synctest.Wait()
			// What it will read first does not count.
			w.commit(100_000, inserts(1, 1)...)
			for range 8 {
				w.commit(1000, inserts(1, 1)...)
				synctest.Wait()
				require.NoError(t, s.Err())
			}
			for range 2 { // the keeper looks each time a sixteenth of the log has been appended
				w.commit(1000, inserts(1, 1)...)
				synctest.Wait()
			}
			require.ErrorContains(t, s.Err(), "stream fell behind: ")
			require.ErrorContains(t, s.Err(), "limit 7.8 KiB; ")
			changes, err := rest(t, s)
			require.Equal(t, s.Err(), err)
			require.Empty(t, changes)
			synctest.Wait()
			require.True(t, snap.closed.Load())
			if other {
				require.Len(t, take(t, beside, 11), 11)
				beside.Close()
			}
			require.Zero(t, log.Admission().Active)
			requireHeld(t, log, 0, 0)
		}
	})
}

func TestStreamWithASnapshotCanFallBehindFurtherByDefault(t *testing.T) {
	log, w := newLog(t, 64*unit.MiB)
	subscribeSnapshot(t, w, api.StreamOptions{}, prelude(w, &snapshot{n: 1, gate: make(chan struct{})}))
	require.Equal(t, int64(cdc.DefaultSnapshotBytes), log.Admission().ReservedBytes)
	log, w = newLog(t, unit.MiB)
	subscribeSnapshot(t, w, api.StreamOptions{}, prelude(w, &snapshot{n: 1}))
	require.Equal(t, int64(unit.MiB), log.Admission().ReservedBytes)
}

func TestSnapshotsHaveLimitsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: 64 * unit.MiB, Subscriptions: api.SubscriptionsConfig{
			MaxSnapshotSubscriptions: 2, MaxBytes: 60 * unit.MiB,
		}})
		defer log.Close(errOver)
		w := &writer{log: log}
		live := subscribe(t, log, api.StreamOptions{})
		slow := &snapshot{n: 2, gate: make(chan struct{})}
		opts := api.StreamOptions{MaxBytes: 20 * unit.MiB}
		first := subscribeSnapshot(t, w, opts, prelude(w, slow))
		require.Equal(t, api.Admission{Active: 2, Snapshots: 1, ReservedBytes: int64(36 * unit.MiB)}, log.Admission())

		_, err := log.SubscribeSnapshot(t.Context(), api.StreamOptions{MaxBytes: 25 * unit.MiB}, prelude(w, &snapshot{}))
		require.EqualError(t, err, `cdc: source "app:cdc": the 2 open streams may make the log keep 36 MiB, with this one it would be 61 MiB, `+
			"and subscriptions.max_bytes is 60 MiB: ask for less max_bytes, wait for a snapshot to finish, or raise the limit")
		require.True(t, errs.Retryable(err))
		second := subscribeSnapshot(t, w, opts, prelude(w, &snapshot{n: 2, gate: slow.gate}))
		_, err = log.SubscribeSnapshot(t.Context(), api.StreamOptions{MaxBytes: 1}, prelude(w, &snapshot{}))
		require.EqualError(t, err, `cdc: source "app:cdc": 2 streams are reading a snapshot, and `+
			"subscriptions.max_snapshot_subscriptions is 2: wait for one to finish, or raise the limit")
		require.True(t, errs.Retryable(err))
		require.Equal(t, api.Admission{Active: 3, Snapshots: 2, ReservedBytes: int64(56 * unit.MiB), Rejected: 2}, log.Admission())

		close(slow.gate)
		take(t, first, 2)
		second.Close()
		synctest.Wait()
		require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(20 * unit.MiB), Rejected: 2}, log.Admission(), "it has caught up")
		first.Close()
		require.Equal(t, api.Admission{Active: 1, ReservedBytes: int64(16 * unit.MiB), Rejected: 2}, log.Admission())
		live.Close()
	})
}

func TestSnapshotThatCannotBeginLeavesNoTrace(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	cause := errs.New(errs.Invalid, "not in this mode")
	for _, joins := range []bool{false, true} {
		_, err := log.SubscribeSnapshot(t.Context(), api.StreamOptions{}, cdc.Prelude{
			Begin: func(_ context.Context, _ *cdc.Selection, join func() error) (cdc.Snapshot, error) {
				if joins {
					require.NoError(t, join())
				}
				return nil, cause
			},
		})
		require.EqualError(t, err, `cdc: source "app:cdc": snapshot: not in this mode`)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		require.Zero(t, log.Admission().Active)
		require.False(t, log.Watched())
	}
	log.Close(errOver)
	_, err := log.SubscribeSnapshot(t.Context(), api.StreamOptions{}, prelude(w, &snapshot{}))
	require.ErrorIs(t, err, errOver)
}

func TestSnapshotThatFailsEndsTheStream(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribeSnapshot(t, w, api.StreamOptions{}, prelude(w, &snapshot{n: 2, fault: errors.New("disk on fire")}))
	changes, err := rest(t, s)
	require.Equal(t, []string{"0.0 snapshot users 0"}, lines(changes), "the last one is not known to be the last")
	require.EqualError(t, err, `cdc: source "app:cdc": read the snapshot: disk on fire`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Zero(t, log.Admission())
}

func TestStreamIsClosedDuringItsSnapshot(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	for _, taken := range []int{0, 1, 5} {
		snap := &snapshot{n: 1 << 30}
		s := subscribeSnapshot(t, w, api.StreamOptions{Buffer: 2}, prelude(w, snap))
		take(t, s, taken)
		s.Close()
		require.True(t, snap.closed.Load())
		require.Zero(t, log.Admission())
	}
	snap := &snapshot{n: 1 << 30}
	s := subscribeSnapshot(t, w, api.StreamOptions{}, prelude(w, snap))
	log.Close(errOver)
	require.True(t, snap.closed.Load())
	_, err := rest(t, s)
	require.Equal(t, errOver, err)
}

func TestSnapshotIsDeliveredWhenTheReaderComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		defer log.Close(errOver)
		delivered := 0
		begin := func(n int) api.Stream {
			delivered = 0
			p := prelude(w, &snapshot{n: n})
			p.Delivered = func() { delivered++ }
			return subscribeSnapshot(t, w, api.StreamOptions{}, p)
		}
		s := begin(2)
		take(t, s, 2)
		require.Zero(t, delivered, "the reader may still be at work on the last row")
		_, err := s.Poll()
		require.NoError(t, err)
		require.Equal(t, 1, delivered)
		s.Close()
		require.Equal(t, 1, delivered)

		s = begin(2)
		take(t, s, 1)
		synctest.Wait()
		s.Close()
		require.Zero(t, delivered)

		s = begin(2)
		take(t, s, 2)
		s.Close()
		require.Equal(t, 1, delivered)

		s = begin(0)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		_, err = s.Next(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1, delivered, "there was nothing to take")
	})
}
