package stream_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func filled(c *stream.Counters) (stats api.Stats) {
	c.Fill(&stats)
	return stats
}

// run begins a run of a source with those counters.
func run(t *testing.T, counters *stream.Counters) fixed {
	t.Helper()
	f := fixed{e: new(engine)}
	set := settings(16*unit.KiB, f.e)
	set.Counters = counters
	f.Streams, f.w = start(t, set)
	return f
}

func TestCountersGoOnOverRestarts(t *testing.T) {
	counters := stream.NewCounters()
	none := map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 0}
	require.Equal(t, none, filled(counters).Ended)
	first := run(t, counters)
	first.w.commit(10, inserts(1, 1)...)
	require.Zero(t, filled(counters).Transactions, "there is no stream")
	open(t, first.Streams, api.StreamOptions{Tables: []string{"orders"}})
	first.w.commit(10, row{users, log.Insert, 1}, row{users, log.Delete, 1}, row{orders, log.Truncate, 1})
	counters.CheckpointFailure()
	first.Close(errors.New("a cause"))
	want := api.Stats{
		Transactions: 1, CheckpointFailures: 1,
		Changes: map[api.Op]uint64{api.OpInsert: 1, api.OpUpdate: 0, api.OpDelete: 1, api.OpTruncate: 1, api.OpSchema: 0},
		Ended:   map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 1},
	}
	require.Equal(t, want, filled(counters))

	second := run(t, counters)
	s := second.open(t, api.StreamOptions{}, &snapshot{n: 3})
	second.w.commit(10, inserts(1, 4)...)
	take(t, s, 7)
	s.Close()
	s.Close()
	want.Transactions, want.Changes[api.OpInsert], want.Ended[api.EndClosed], want.SnapshotRows = 2, 5, 1, 3
	require.Equal(t, want, filled(counters))
}

func TestStreamsAreCountedByWhyTheyEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := stream.NewCounters()
		f := run(t, counters)
		closed := open(t, f.Streams, api.StreamOptions{})
		stuck := open(t, f.Streams, api.StreamOptions{MaxBytes: 100})
		for range 3 {
			f.w.commitOf(90, 1)
			take(t, closed, 1)
		}
		_, err := rest(t, stuck)
		require.ErrorContains(t, err, "stream fell behind: ")
		stuck.Close()
		closed.Close()
		reads := open(t, f.Streams, api.StreamOptions{})
		broken := f.w.make(10, inserts(1, 1)...)
		broken.Entries[5] = 1
		f.Append(broken)
		_, err = rest(t, reads)
		require.ErrorContains(t, err, "disk on fire")
		gapped := open(t, f.Streams, api.StreamOptions{})
		f.w.sequence++
		require.True(t, f.Lose(f.w.sequence, errors.New("a reason")))
		gapped.Close()
		open(t, f.Streams, api.StreamOptions{})
		f.Close(errOver)
		require.Equal(t, map[api.EndReason]uint64{api.EndClosed: 1, api.EndLag: 1, api.EndLost: 2, api.EndSource: 1},
			filled(counters).Ended)
	})
}

func TestBytesThatGoToFilesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := stream.NewCounters()
		f := run(t, counters)
		f.open(t, api.StreamOptions{}, &snapshot{n: 2, gate: make(chan struct{})})
		for i := range int64(100) {
			f.w.commitOf(1000, i)
			synctest.Wait()
		}
		spilled := filled(counters).SpilledBytes
		require.Greater(t, spilled, uint64(70_000), "but for 16 KiB in memory")
		require.Less(t, spilled, uint64(100_000))
	})
}
