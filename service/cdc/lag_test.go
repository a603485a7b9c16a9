package cdc_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// gated appends a transaction that holds its readers up until the function returned is called.
func gated(w *writer, size int64, rows ...row) (open func()) {
	tx := w.make(size, rows...)
	tx.gate = make(chan struct{})
	w.log.Append(tx)
	return func() { close(tx.gate) }
}

func TestLaggardEndsWithAnErrorThatSaysHowFarItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 64*unit.MiB)
		s := subscribe(t, log, api.StreamOptions{MaxBytes: 16 * unit.MiB})
		open := gated(w, int64(512*unit.KiB), inserts(1, 1)...)
		synctest.Wait()
		for range 16 {
			w.commit(int64(unit.MiB), inserts(2, 1)...)
			synctest.Wait()
			require.NoError(t, s.Err())
		}
		w.commit(int64(512*unit.KiB), inserts(3, 1)...)
		synctest.Wait()
		err := s.Err()
		require.EqualError(t, err, "stream fell behind: 17 MiB in 18 transactions unread, limit 16 MiB; "+
			"read faster, raise max_bytes, or resubscribe with snapshot = true")
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.True(t, errs.Retryable(err))
		transactions, _ := log.Held()
		require.Zero(t, transactions, "nobody has yet to read anything")
		open()
		_, end := rest(t, s)
		require.Equal(t, err, end)
	})
}

func TestReaderThatNeverReadsIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		stuck := subscribe(t, log, api.StreamOptions{Buffer: 4, MaxBytes: 10_000})
		reading := subscribe(t, log, api.StreamOptions{Buffer: 4, MaxBytes: 10_000})
		for i := range int64(100) {
			w.commit(1000, inserts(i, 1)...)
			require.Equal(t, i, take(t, reading, 1)[0].After[0].Int64())
			synctest.Wait()
		}
		synctest.Wait()
		require.Equal(t, errs.Unavailable, errs.KindOf(stuck.Err()))
		require.NoError(t, reading.Err())
		require.Equal(t, 1, log.Admission().Active)
		for range stuck.Ready() {
			// until it is closed
		}
		changes, err := rest(t, stuck)
		require.Equal(t, []string{
			"1.0 insert users 0 !", "2.0 insert users 1 !", "3.0 insert users 2 !", "4.0 insert users 3 !",
		}, lines(changes), "what fits into the buffer was decoded")
		require.Equal(t, stuck.Err(), err)
	})
}

func TestOneTransactionBeyondTheLimitsDoesNotEndAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 64*unit.KiB)
		s := subscribe(t, log, api.StreamOptions{MaxBytes: 100})
		open := gated(w, int64(unit.GiB), inserts(1, 2)...)
		w.commit(50, inserts(3, 1)...)
		w.commit(50, inserts(4, 1)...)
		synctest.Wait()
		require.NoError(t, s.Err())
		open()
		require.Equal(t, []string{
			"1.0 insert users 1", "1.1 insert users 2 !", "2.0 insert users 3 !", "3.0 insert users 4 !",
		}, lines(take(t, s, 4)))
	})
}

func TestStreamWhoseNextTransactionHasLeftTheLogEnds(t *testing.T) {
	// Without a bubble's scheduling points the stream's goroutine does not run between these appends, or it does:
	// both must end the same way, because it is the sizes that count.
	for range 200 {
		log, w := newLog(t, 1000)
		s := subscribe(t, log, api.StreamOptions{Buffer: 1, MaxBytes: 1000})
		for i := range int64(20) {
			w.commit(600, inserts(i, 10)...)
		}
		_, err := rest(t, s)
		require.ErrorContains(t, err, "stream fell behind: ")
		require.ErrorContains(t, err, " unread, limit 1000 bytes; ")
		transactions, size := log.Held()
		require.LessOrEqual(t, transactions, 2)
		require.LessOrEqual(t, size, unit.Size(1200))
		s.Close()
	}
}

func TestWritersAndOthersDoNotNoticeALaggard(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	stuck := subscribe(t, log, api.StreamOptions{Buffer: 1, MaxBytes: unit.MiB})
	for i := range int64(5000) {
		s := subscribe(t, log, api.StreamOptions{})
		w.commit(1000, inserts(i, 1)...)
		require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
		s.Close()
		_, size := log.Held()
		require.LessOrEqual(t, size, unit.MiB+1000)
	}
	_, err := rest(t, stuck)
	require.ErrorContains(t, err, "stream fell behind")
}

func TestLogKeepsNothingWithoutStreams(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	require.False(t, log.Watched())
	w.commit(1000, inserts(1, 1)...)
	requireHeld(t, log, 0, 0)
	s := subscribe(t, log, api.StreamOptions{})
	require.True(t, log.Watched())
	s.Close()
	w.commit(1000, inserts(1, 1)...)
	requireHeld(t, log, 0, 0)
}

func TestLogKeepsATransactionOnceUntilTheLastStreamHasReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		var streams []api.Stream
		for range 10 {
			streams = append(streams, subscribe(t, log, api.StreamOptions{Buffer: 1}))
		}
		w.commit(1000, inserts(1, 10)...)
		w.commit(500, inserts(11, 10)...)
		synctest.Wait()
		requireHeld(t, log, 2, 1500)
		for _, s := range streams[1:] {
			take(t, s, 20)
		}
		synctest.Wait()
		requireHeld(t, log, 2, 1500)
		take(t, streams[0], 20)
		synctest.Wait()
		requireHeld(t, log, 0, 0)
	})
}

func TestLogLetsGoOfWhatAClosedStreamHadYetToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		slow, fast := subscribe(t, log, api.StreamOptions{Buffer: 1}), subscribe(t, log, api.StreamOptions{})
		for i := range int64(1000) {
			w.commit(10, inserts(i, 1)...)
			take(t, fast, 1)
		}
		synctest.Wait()
		transactions, _ := log.Held()
		require.Greater(t, transactions, 900)
		slow.Close()
		requireHeld(t, log, 0, 0)
	})
}

func TestLogDropsWhatAllHaveReadWhileTheyAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bytes = 64 * unit.KiB
		log, w := newLog(t, bytes)
		streams := []api.Stream{
			subscribe(t, log, api.StreamOptions{Buffer: 1}), subscribe(t, log, api.StreamOptions{Buffer: 1}),
		}
		// Two changes per transaction: neither stream ever waits for the log, since one change is always unread.
		w.commit(100, inserts(0, 8)...)
		for i := range int64(5000) {
			w.commit(100, inserts(i, 1)...)
			synctest.Wait()
			for _, s := range streams {
				take(t, s, 1)
			}
			_, size := log.Held()
			require.Less(t, size, bytes/8)
		}
	})
}

func requireHeld(t *testing.T, log interface {
	Held() (int, unit.Size)
}, transactions int, size unit.Size,
) {
	t.Helper()
	gotTransactions, gotSize := log.Held()
	require.Equal(t, transactions, gotTransactions)
	require.Equal(t, size, gotSize)
}
