package cdc_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// queue is a backlog in memory.
type queue struct {
	all    []cdc.Transaction
	fault  error
	closed bool
}

func (q *queue) Push(tx cdc.Transaction) (bool, error) {
	q.all = append(q.all, tx)
	return true, q.fault
}

func (q *queue) Pop() (cdc.Transaction, error) {
	if len(q.all) == 0 {
		return nil, nil
	}
	tx := q.all[0]
	q.all = q.all[1:]
	return tx, nil
}

func (q *queue) Close() { q.closed = true }

func TestBacklogIsFilledInNoHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 16*unit.MiB)
		defer log.Close(errOver)
		q := &queue{}
		s, gate := subscribeBacklog(t, w, q, api.StreamOptions{MaxBytes: 16 * unit.MiB})
		live := subscribe(t, log, api.StreamOptions{})
		for i := range int64(1000) {
			w.commit(1000, inserts(i, 1)...)
			require.Equal(t, i, take(t, live, 1)[0].After[0].Int64())
			synctest.Wait()
			require.LessOrEqual(t, len(q.all), 1, "only the first patrol is due at once")
		}
		for i := range int64(100) {
			w.commit(1000, inserts(1000+i, 1)...)
		}
		synctest.Wait()
		require.Greater(t, len(q.all), 1000)
		close(gate)
		take(t, s, 2)
		for i := range int64(1100) {
			require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
		}
	})
}

// subscribeBacklog opens a stream with a snapshot of two rows that waits for the gate before the second.
func subscribeBacklog(t *testing.T, w *writer, q *queue, opts api.StreamOptions) (s api.Stream, gate chan struct{}) {
	t.Helper()
	snap := &snapshot{n: 2, gate: make(chan struct{})}
	p := prelude(w, snap)
	p.Backlog = func(*cdc.Selection) cdc.Backlog { return q }
	return subscribeSnapshot(t, w, opts, p), snap.gate
}

func TestBacklogTakesWhatTheLogCannotKeep(t *testing.T) {
	for _, buffer := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			log, w := newLog(t, 16*unit.KiB)
			defer log.Close(errOver)
			q := &queue{}
			s, gate := subscribeBacklog(t, w, q, api.StreamOptions{Buffer: buffer})
			for i := range int64(100) {
				w.commit(1000, inserts(i, 1)...)
				synctest.Wait()
			}
			transactions, _ := log.Held()
			require.LessOrEqual(t, transactions, 1, "a sixteenth of the bound may wait for the drain")
			require.Len(t, q.all, 100-transactions)
			var stats api.Stats
			log.Measure(&stats)
			require.Equal(t, int64(100_000), stats.LagBytes)
			require.Equal(t, 1, log.Admission().Snapshots)
			close(gate)
			take(t, s, 2)
			for i := range int64(100) {
				w.commit(1000, inserts(100+i, 1)...)
				synctest.Wait()
				require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
			}
			for i := range int64(100) {
				require.Equal(t, 100+i, take(t, s, 1)[0].After[0].Int64())
			}
			synctest.Wait()
			require.True(t, q.closed, "it has caught up")
			stats = api.Stats{}
			log.Measure(&stats)
			require.Zero(t, stats.LagBytes)
			w.commit(1000, inserts(200, 1)...)
			require.Equal(t, int64(200), take(t, s, 1)[0].After[0].Int64())
			require.Zero(t, log.Admission().Snapshots)
			s.Close()
		})
	}
}

func TestBacklogHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 16*unit.KiB)
		defer log.Close(errOver)
		q := &queue{}
		s, _ := subscribeBacklog(t, w, q, api.StreamOptions{MaxBytes: 5000})
		w.commit(100_000, inserts(0, 1)...)
		for range 5 {
			w.commit(1000, inserts(0, 1)...)
			synctest.Wait()
			require.NoError(t, s.Err())
		}
		w.commit(1000, inserts(0, 1)...)
		synctest.Wait()
		require.EqualError(t, s.Err(), "stream fell behind: 103.5 KiB in 7 transactions unread, limit 4.9 KiB; "+
			"read faster, raise max_bytes, or resubscribe with snapshot = true")
		require.True(t, q.closed)
		require.Zero(t, log.Admission())
	})
}

func TestBacklogThatFailsEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		defer log.Close(errOver)
		q := &queue{fault: errors.New("disk full")}
		s, _ := subscribeBacklog(t, w, q, api.StreamOptions{})
		w.commit(10, inserts(0, 1)...)
		synctest.Wait()
		require.EqualError(t, s.Err(), `cdc: source "app:cdc": keep what was committed during the snapshot: disk full`)
		require.True(t, q.closed)
	})
}

func TestLogThatClosesWhileABacklogGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		q := &queue{}
		s, _ := subscribeBacklog(t, w, q, api.StreamOptions{})
		other, _ := subscribeBacklog(t, w, &queue{}, api.StreamOptions{})
		w.commit(10, inserts(0, 1)...)
		synctest.Wait()
		other.Close()
		log.Close(errOver)
		require.Equal(t, errOver, s.Err())
		require.True(t, q.closed)
	})
}
