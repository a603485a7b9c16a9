package cdctest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func testInfo(t *testing.T, s *Subject) {
	t.Helper()
	want := s.info(t)
	require.Equal(t, s.ID.String(), want.ID.String())
	require.NotEmpty(t, want.Kind)
	require.NotEmpty(t, want.Engine)
	require.Equal(t, []string{"users", "orders"}, want.Tables)
	require.Equal(t, api.StateStopped, want.State)
	require.Zero(t, want.Epoch)
	require.Empty(t, want.Generation+want.LSN)
	require.NoError(t, want.Err)
	require.NoError(t, want.CheckpointErr)
	require.Zero(t, want.Admission)
	require.Equal(t, []api.SourceInfo{want}, s.Engine.Sources())
	_, known := s.Engine.Source(registry.ID{Namespace: "no", Name: "where"})
	require.False(t, known)

	stop := s.Start()
	want.State, want.Epoch, want.Generation = api.StateRunning, 1, s.info(t).Generation
	require.NotEmpty(t, want.Generation)
	same := func(reason string) { // the position may go on by itself: a server writes for others as well
		t.Helper()
		now := s.info(t)
		require.NotEmpty(t, now.Cursor)
		require.GreaterOrEqual(t, now.Cursor, want.Cursor)
		want.Cursor = now.Cursor
		require.Equal(t, want, now, reason)
	}
	same("it runs")
	stream := s.subscribe(t, api.StreamOptions{MaxBytes: unit.MiB})
	other := s.subscribe(t, api.StreamOptions{MaxBytes: 2 * unit.MiB})
	want.Admission = api.Admission{Active: 2, ReservedBytes: int64(2 * unit.MiB)}
	same("they share the log")
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	c := take(t, stream, 1)[0]
	noChange(t, stream)
	want.LSN = c.Transaction.LSN
	eventually(t, func() bool { return s.info(t).Cursor >= c.Cursor() }, "it is received a moment before it is noted")
	same("it is at the transaction")
	require.Equal(t, want.Generation, c.Transaction.Generation)
	other.Close()
	want.Admission = api.Admission{Active: 1, ReservedBytes: int64(unit.MiB)}
	same("one is left")
	require.Len(t, s.Engine.Sources(), 1)

	stop()
	now := s.info(t)
	require.Empty(t, now.Cursor)
	want.Cursor = ""
	want.State, want.LSN, want.Admission, want.Generation = api.StateStopped, "", api.Admission{}, now.Generation
	require.Equal(t, want, now, "what belongs to a run is gone")
}

func testMetrics(t *testing.T, s *Subject) {
	t.Helper()
	require.Empty(t, s.Engine.Stats(), "it has not run")
	stop := s.Start()
	reading, slow := s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{Tables: []string{"users"}, Ops: []api.Op{api.OpDelete}})
	require.Zero(t, s.stats(t).LagBytes)
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')", "INSERT INTO orders (id, name) VALUES (1, 'c')")
	s.Transact("UPDATE orders SET name = 'd'", "DELETE FROM users WHERE id = 1")
	take(t, reading, 5)
	now := s.stats(t)
	require.Equal(t, s.ID, now.Source)
	require.Positive(t, now.LagBytes, "one stream has read nothing")
	require.GreaterOrEqual(t, now.LogBytes, now.LagBytes)
	take(t, slow, 1)
	now = s.stats(t)
	require.Zero(t, now.LagBytes)
	require.Equal(t, 2, now.Streams)
	require.NotEqual(t, now.WALBytes == nil, now.RetainedWALBytes == nil, "each engine has one of them")
	want := api.Stats{
		Source: s.ID, Transactions: 2,
		Changes: map[api.Op]uint64{api.OpInsert: 3, api.OpUpdate: 1, api.OpDelete: 1, api.OpTruncate: 0, api.OpSchema: 0},
		Ended:   map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 0},
	}
	counters := func() api.Stats {
		now := s.stats(t)
		now.LogBytes, now.LagBytes, now.Streams, now.WALBytes, now.RetainedWALBytes, now.DurableLog = 0, 0, 0, nil, nil, nil
		return now
	}
	require.Equal(t, want, counters())
	slow.Close()
	require.Equal(t, 1, s.stats(t).Streams)
	stop()
	want.Ended[api.EndClosed], want.Ended[api.EndSource] = 1, 1
	require.Equal(t, want, s.stats(t), "gauges are those of a run, counters go on")

	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("DELETE FROM users")
	take(t, stream, 1)
	want.Transactions, want.Changes[api.OpDelete] = 3, 2
	require.Equal(t, want, counters())
}

// A source that starts again goes on from its checkpoint.
func testCheckpoint(t *testing.T, s *Subject) {
	t.Helper()
	stop := s.Start()
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	s.Transact("INSERT INTO users (id, name) VALUES (2, 'b')")
	last := take(t, stream, 2)[1].Transaction
	stop()
	require.NoError(t, s.info(t).CheckpointErr)
	kept, found := s.Checkpoint()
	require.True(t, found)
	require.Equal(t, Checkpoint{LSN: last.LSN}, kept)

	s.Transact("INSERT INTO users (id, name) VALUES (3, 'c')")
	stop = s.Start()
	stream = s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (4, 'd')")
	want := []string{"insert users 4 !"}
	if s.info(t).Capabilities.CaptureResume {
		want = []string{"insert users 3 !", "insert users 4 !"}
	}
	changes := take(t, stream, len(want))
	require.Equal(t, want, brief(changes))
	require.Greater(t, changes[0].Transaction.Sequence, last.Sequence, "no number comes twice")
	stop()
	kept, _ = s.Checkpoint()
	require.Equal(t, Checkpoint{LSN: changes[len(want)-1].Transaction.LSN}, kept)
}
