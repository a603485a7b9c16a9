package stream_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// front is what a record of one table has besides its head and its entries.
const front = 52

// commitOf appends an insert as a record of exactly that size.
func (w *writer) commitOf(size unit.Size, value int64) {
	w.commit(int64(size)-front, inserts(value, 1)...)
}

func TestLaggardEndsWithAnErrorThatSaysHowFarItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, w := newStreams(t, 64*unit.MiB)
		s := open(t, streams, api.StreamOptions{MaxBytes: 16 * unit.MiB})
		w.commit(int64(512*unit.KiB)-front, inserts(1, 2)...)
		take(t, s, 1) // it is in the middle of the first one, which does not count
		for range 16 {
			w.commitOf(unit.MiB, 2)
			synctest.Wait()
			require.NoError(t, s.Err())
		}
		w.commitOf(512*unit.KiB, 3)
		synctest.Wait()
		err := s.Err()
		require.EqualError(t, err, "stream fell behind: 17 MiB in 18 transactions unread, limit 16 MiB; "+
			"read faster, raise max_bytes, or resubscribe with snapshot = true")
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.True(t, errs.Retryable(err))
		require.Zero(t, streams.Held(), "no stream has yet to read anything")
		changes, end := rest(t, s)
		require.Equal(t, err, end)
		require.Empty(t, changes)
	})
}

func TestReaderThatNeverReadsIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, w := newStreams(t, unit.MiB)
		stuck := open(t, streams, api.StreamOptions{MaxBytes: 10_000})
		reading := open(t, streams, api.StreamOptions{MaxBytes: 10_000})
		for i := range int64(100) {
			w.commitOf(1000, i)
			require.Equal(t, i, take(t, reading, 1)[0].After[0].Int64())
			synctest.Wait()
		}
		require.Equal(t, errs.Unavailable, errs.KindOf(stuck.Err()), "when a segment was full")
		require.NoError(t, reading.Err())
		require.Equal(t, 1, streams.Admission().Active)
		changes, err := rest(t, stuck)
		require.Empty(t, changes)
		require.Equal(t, stuck.Err(), err)
	})
}

func TestLaggardIsEndedWhenItReadsOn(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{MaxBytes: 1000})
	for i := range int64(3) { // all in one segment
		w.commitOf(1000, i)
	}
	require.NoError(t, s.Err())
	changes, err := rest(t, s)
	require.ErrorContains(t, err, "stream fell behind: 2.9 KiB in 3 transactions unread, limit 1000 bytes; ")
	require.Empty(t, changes)
	require.Zero(t, streams.Held())
}

func TestOneTransactionBeyondTheLimitsDoesNotEndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, w := newStreams(t, 64*unit.KiB)
		s := open(t, streams, api.StreamOptions{MaxBytes: 200})
		w.commit(int64(16*unit.MiB), inserts(1, 2)...)
		w.commitOf(100, 3)
		w.commitOf(100, 4)
		synctest.Wait()
		require.NoError(t, s.Err())
		require.Equal(t, []string{
			"1.0 insert users 1", "1.1 insert users 2 !", "2.0 insert users 3 !", "3.0 insert users 4 !",
		}, lines(take(t, s, 4)))
	})
}

func TestWritersAndOthersDoNotNoticeALaggard(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	stuck := open(t, streams, api.StreamOptions{MaxBytes: unit.MiB})
	for i := range int64(5000) {
		s := open(t, streams, api.StreamOptions{})
		w.commitOf(1000, i)
		require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
		s.Close()
	}
	_, err := rest(t, stuck)
	require.ErrorContains(t, err, "stream fell behind")
	require.Zero(t, streams.Held())
}

func TestGaugesTellWhatTheLogHoldsAndHowFarTheSlowestIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, w := newStreams(t, unit.MiB)
		measured := func() []int64 {
			synctest.Wait()
			var stats api.Stats
			streams.Measure(&stats)
			return []int64{stats.LogBytes, int64(stats.Streams), stats.LagBytes}
		}
		fast, slow := open(t, streams, api.StreamOptions{}), open(t, streams, api.StreamOptions{})
		open(t, streams, api.StreamOptions{Tables: []string{"orders"}})
		require.Equal(t, []int64{0, 3, 0}, measured())
		for range 5 {
			w.commit(1000, inserts(1, 2)...)
			take(t, fast, 2)
			_, err := fast.Poll()
			require.NoError(t, err)
		}
		require.Equal(t, []int64{5 * (front + 1000), 3, 5 * (front + 1000)}, measured())
		take(t, slow, 4)
		require.Equal(t, int64(3*(front+1000)), measured()[2])
		take(t, slow, 1)
		require.Equal(t, int64(3*(front+1000)), measured()[2], "it is in the middle of the third")
		slow.Close()
		require.Equal(t, []int64{5 * (front + 1000), 2, 0}, measured(), "the newest segment stays")
		fast.Close()
		require.Equal(t, int64(5*(front+1000)), measured()[0])
	})
}
