package stream_test

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
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// snapshot is a hand-made snapshot of n users, or of all if that is set.
type snapshot struct {
	header api.Transaction
	n      int
	all    []row
	// gate, if there is one, holds it up before the row of index 1 until it is closed.
	gate   chan struct{}
	fault  error
	at     atomic.Int64
	closed atomic.Bool
}

func (s *snapshot) Next(ctx context.Context, c *api.Change) error {
	at := int(s.at.Load())
	if at == 1 && s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if at == max(s.n, len(s.all)) {
		if s.fault != nil {
			return s.fault
		}
		return io.EOF
	}
	r := row{table: users, value: int64(at)}
	if s.all != nil {
		r = s.all[at]
	}
	c.Op, c.Table, c.Transaction, c.Index = api.OpSnapshot, r.table.Table(), &s.header, at
	c.Before = nil
	for range r.table.table.Columns {
		c.After = append(c.After, sqlapi.IntegerValue(r.value))
	}
	s.at.Add(1)
	return nil
}

func (s *snapshot) Rows(context.Context) int64 { return int64(max(s.n, len(s.all))) }

func (s *snapshot) Transaction() *api.Transaction { return &s.header }

func (s *snapshot) Close() { s.closed.Store(true) }

// begin makes s the next snapshot of an engine, at the present end of what w has appended.
func (e *engine) begin(w *writer, s *snapshot) {
	e.snapshot = func(context.Context, *stream.Selection) (stream.Snapshot, api.Position, error) {
		s.header = api.Transaction{Source: sourceID, Generation: "g", Sequence: w.sequence}
		return s, api.Behind(w.sequence), nil
	}
}

// fixed is streams whose snapshots are hand-made.
type fixed struct {
	*stream.Streams
	w *writer
	e *engine
}

func newFixed(t *testing.T, bytes unit.Size) fixed {
	t.Helper()
	e := new(engine)
	streams, w := with(t, bytes, e)
	return fixed{streams, w, e}
}

// open opens a stream that begins with s.
func (f fixed) open(t *testing.T, opts api.StreamOptions, s *snapshot) api.Stream {
	t.Helper()
	return f.openTelling(t, opts, s, nil)
}

func (f fixed) openTelling(t *testing.T, opts api.StreamOptions, s *snapshot, delivered func()) api.Stream {
	t.Helper()
	f.e.begin(f.w, s)
	opened, err := f.OpenSnapshot(t.Context(), opts, delivered)
	require.NoError(t, err)
	t.Cleanup(opened.Close)
	return opened
}

func TestSnapshotComesFirstAndNothingIsMissed(t *testing.T) {
	for _, buffer := range []int{1, 2, 64} {
		f := newFixed(t, unit.MiB)
		f.w.commit(10, inserts(1, 1)...)
		snap := &snapshot{n: 3, gate: make(chan struct{})}
		s := f.open(t, api.StreamOptions{Buffer: buffer, Ops: []api.Op{api.OpInsert}}, snap)
		f.w.commit(10, inserts(2, 1)...)
		f.w.commit(10, row{users, log.Delete, 3}, row{users, log.Insert, 4})
		close(snap.gate)
		require.Equal(t, []string{
			"1.0 snapshot users 0", "1.1 snapshot users 1", "1.2 snapshot users 2 !", "2.0 insert users 2 !", "3.1 insert users 4 !",
		}, lines(take(t, s, 5)))
		require.True(t, snap.closed.Load())
		s.Close()
		require.Zero(t, f.Held())
	}
}

func TestWhatIsInTheSnapshotIsNotInTheStreamAsWell(t *testing.T) {
	f := newFixed(t, unit.MiB)
	snap := &snapshot{n: 1}
	f.e.snapshot = func(context.Context, *stream.Selection) (stream.Snapshot, api.Position, error) {
		f.w.commit(10, inserts(1, 2)...) // while the snapshot is waited for
		f.w.commit(10, inserts(3, 2)...)
		position := api.Behind(f.w.sequence)
		snap.header.Sequence = f.w.sequence
		f.w.commit(10, inserts(5, 2)...)
		return snap, position, nil
	}
	s, err := f.OpenSnapshot(t.Context(), api.StreamOptions{}, nil)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"2.0 snapshot users 0 !", "3.0 insert users 5", "3.1 insert users 6 !"}, lines(take(t, s, 3)))
}

func TestASnapshotIsReadAheadOfTheReaderNoFurtherThanTheBuffer(t *testing.T) {
	for _, buffer := range []int{1, 2, 7, 64, 1000} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixed(t, unit.MiB)
			snap := &snapshot{n: 5000}
			s := f.open(t, api.StreamOptions{Buffer: buffer}, snap)
			for i := range 5000 {
				synctest.Wait()
				// Batches of half a buffer: one that is being taken, one that is ready, one that waits, and one more
				// row.
				require.LessOrEqual(t, int(snap.at.Load()), i+3*max(1, buffer/2)+1, "buffer %d", buffer)
				require.Equal(t, int64(i), take(t, s, 1)[0].After[0].Int64())
			}
		})
	}
}

func TestLaggardDuringItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, 16*1000)
		for _, other := range []bool{false, true} {
			snap := &snapshot{n: 10, gate: make(chan struct{})}
			s := f.open(t, api.StreamOptions{MaxBytes: 8000}, snap)
			var beside api.Stream
			if other {
				beside = open(t, f.Streams, api.StreamOptions{})
			}
			synctest.Wait()
			f.w.commit(100_000, inserts(1, 1)...) // what it will read first does not count
			for range 8 {
				f.w.commitOf(1000, 1)
				synctest.Wait()
				require.NoError(t, s.Err())
			}
			for range 2 {
				f.w.commitOf(1000, 1)
				synctest.Wait()
			}
			require.ErrorContains(t, s.Err(), "stream fell behind: ")
			require.ErrorContains(t, s.Err(), "limit 7.8 KiB; ")
			require.True(t, snap.closed.Load())
			changes, err := rest(t, s)
			require.Equal(t, s.Err(), err)
			require.Empty(t, changes)
			if other {
				require.Len(t, take(t, beside, 11), 11)
				beside.Close()
			}
			require.Zero(t, f.Admission().Active)
			require.Zero(t, f.Held())
		}
	})
}

func TestStreamWithASnapshotCanFallBehindFurtherByDefault(t *testing.T) {
	f := newFixed(t, 64*unit.MiB)
	f.open(t, api.StreamOptions{}, &snapshot{n: 1, gate: make(chan struct{})})
	require.Equal(t, int64(stream.DefaultSnapshotReserve), f.Admission().ReservedBytes)
	f = newFixed(t, unit.MiB)
	f.open(t, api.StreamOptions{}, &snapshot{n: 1})
	require.Equal(t, int64(unit.MiB), f.Admission().ReservedBytes)
}

func TestSnapshotsHaveLimitsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		limits := settings(64*unit.MiB, e)
		limits.Subscriptions = api.SubscriptionsConfig{MaxSnapshotSubscriptions: 2, MaxBytes: 60 * unit.MiB}
		streams, w := start(t, limits)
		f := fixed{streams, w, e}
		live := open(t, streams, api.StreamOptions{})
		slow := &snapshot{n: 2, gate: make(chan struct{})}
		opts := api.StreamOptions{MaxBytes: 20 * unit.MiB}
		first := f.open(t, opts, slow)
		require.Equal(t, api.Admission{Active: 2, Snapshots: 1, ReservedBytes: int64(36 * unit.MiB)}, f.Admission())

		_, err := f.OpenSnapshot(t.Context(), api.StreamOptions{MaxBytes: 25 * unit.MiB}, nil)
		require.EqualError(t, err, `cdc: source "app:cdc": the 2 open streams may make the log keep 36 MiB, with this one it would be 61 MiB, `+
			"and subscriptions.max_bytes is 60 MiB: ask for less max_bytes, wait for a snapshot to finish, or raise the limit")
		require.True(t, errs.Retryable(err))
		second := f.open(t, opts, &snapshot{n: 2, gate: slow.gate})
		_, err = f.OpenSnapshot(t.Context(), api.StreamOptions{MaxBytes: 1}, nil)
		require.EqualError(t, err, `cdc: source "app:cdc": 2 streams are reading a snapshot, and `+
			"subscriptions.max_snapshot_subscriptions is 2: wait for one to finish, or raise the limit")
		require.True(t, errs.Retryable(err))
		require.Equal(t, api.Admission{Active: 3, Snapshots: 2, ReservedBytes: int64(56 * unit.MiB), Rejected: 2}, f.Admission())

		close(slow.gate)
		take(t, first, 2)
		second.Close()
		_, err = first.Poll()
		require.NoError(t, err)
		require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(20 * unit.MiB), Rejected: 2}, f.Admission(), "it has caught up")
		first.Close()
		require.Equal(t, api.Admission{Active: 1, ReservedBytes: int64(16 * unit.MiB), Rejected: 2}, f.Admission())
		live.Close()
	})
}

func TestSnapshotThatCannotBeginLeavesNoTrace(t *testing.T) {
	f := newFixed(t, unit.MiB)
	f.e.snapshot = func(context.Context, *stream.Selection) (stream.Snapshot, api.Position, error) {
		f.w.commit(10, inserts(1, 1)...)
		return nil, api.Position{}, errs.New(errs.Invalid, "not in this mode")
	}
	_, err := f.OpenSnapshot(t.Context(), api.StreamOptions{}, nil)
	require.EqualError(t, err, `cdc: source "app:cdc": snapshot: not in this mode`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.Zero(t, f.Admission())
	require.False(t, f.Watched())
	require.Zero(t, f.Held())
	f.Close(errOver)
	_, err = f.OpenSnapshot(t.Context(), api.StreamOptions{}, nil)
	require.ErrorIs(t, err, errOver)
}

func TestClosingEndsTheBeginningOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, unit.MiB)
		f.e.snapshot = func(ctx context.Context, _ *stream.Selection) (stream.Snapshot, api.Position, error) {
			<-ctx.Done()
			return nil, api.Position{}, ctx.Err()
		}
		ended := make(chan error, 1)
		go func() {
			_, err := f.OpenSnapshot(context.Background(), api.StreamOptions{}, nil)
			ended <- err
		}()
		synctest.Wait()
		f.Close(errOver)
		require.Equal(t, errOver, <-ended)
	})
}

func TestSnapshotThatFailsEndsTheStream(t *testing.T) {
	f := newFixed(t, unit.MiB)
	s := f.open(t, api.StreamOptions{Buffer: 2}, &snapshot{n: 2, fault: errors.New("disk on fire")})
	changes, err := rest(t, s)
	require.Equal(t, []string{"0.0 snapshot users 0", "0.1 snapshot users 1"}, lines(changes), "none is marked as the last")
	require.EqualError(t, err, `cdc: source "app:cdc": read the snapshot: disk on fire`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Equal(t, err, s.Err())
	require.Zero(t, f.Admission())
}

func TestStreamIsClosedDuringItsSnapshot(t *testing.T) {
	f := newFixed(t, unit.MiB)
	for _, taken := range []int{0, 1, 5} {
		snap := &snapshot{n: 1 << 30}
		s := f.open(t, api.StreamOptions{Buffer: 2}, snap)
		take(t, s, taken)
		s.Close()
		require.True(t, snap.closed.Load())
		require.Zero(t, f.Admission())
	}
	snap := &snapshot{n: 1 << 30}
	s := f.open(t, api.StreamOptions{}, snap)
	f.Close(errOver)
	require.True(t, snap.closed.Load())
	require.Equal(t, errOver, s.Err())
	_, err := rest(t, s)
	require.Equal(t, errOver, err)
}

func TestStreamThatEndsDuringItsSnapshotLeavesTheLog(t *testing.T) {
	f := newFixed(t, unit.MiB)
	s := f.open(t, api.StreamOptions{}, &snapshot{n: 2, gate: make(chan struct{})})
	f.w.commit(10, inserts(1, 1)...)
	f.w.sequence++
	require.True(t, f.Lose(f.w.sequence, errOver))
	changes, err := rest(t, s)
	require.Empty(t, changes)
	require.ErrorIs(t, err, errOver)
	require.ErrorIs(t, s.Err(), errOver)
	require.False(t, f.Watched(), "though it is not closed")
	require.Zero(t, f.Held())
}

func TestSnapshotIsDeliveredWhenTheReaderComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t, unit.MiB)
		delivered := 0
		begin := func(n int) api.Stream {
			delivered = 0
			return f.openTelling(t, api.StreamOptions{}, &snapshot{n: n}, func() { delivered++ })
		}
		s := begin(2)
		take(t, s, 2)
		require.Zero(t, delivered, "the reader may still be at work on the last row")
		synctest.Wait()
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
