package cdctest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// testStreams: the streams that are open are told, with what they select and how far they are.
func testStreams(t *testing.T, s *Subject) {
	t.Helper()
	require.Empty(t, s.Engine.Streams())
	stop := s.Start()
	selective := s.subscribe(t, api.StreamOptions{Tables: []string{"users"}, Ops: []api.Op{api.OpInsert}, Schema: true, Reader: "the test"})
	behind := s.subscribe(t, api.StreamOptions{})
	open := s.Engine.Streams()
	require.Len(t, open, 2)
	require.Less(t, open[0].ID, open[1].ID)
	require.Equal(t, api.StreamInfo{
		ID: open[0].ID, Source: s.ID, Reader: "the test", Tables: []string{"users"}, Ops: []api.Op{api.OpInsert}, Schema: true,
		Since: open[0].Since, Cursor: open[0].Cursor,
	}, open[0])
	require.False(t, open[0].Since.IsZero())

	s.insert(1, 2)
	changes := take(t, selective, 2)
	noChange(t, selective)
	open = s.Engine.Streams()
	require.Zero(t, open[0].LagBytes)
	require.GreaterOrEqual(t, open[0].Cursor, changes[1].Cursor(), "it has read everything")
	require.Positive(t, open[1].LagBytes)
	require.Less(t, open[1].Cursor, changes[0].Cursor())
	take(t, behind, 2)
	noChange(t, behind)
	require.Zero(t, s.Engine.Streams()[1].LagBytes)

	selective.Close()
	open = s.Engine.Streams()
	require.Len(t, open, 1)
	first := open[0].ID
	behind.Close()
	require.Empty(t, s.Engine.Streams())
	stop()
	defer s.Start()()
	scanning := s.subscribe(t, api.StreamOptions{Start: api.Snapshot()})
	open = s.Engine.Streams()
	require.Len(t, open, 1)
	require.True(t, open[0].Snapshot)
	require.Greater(t, open[0].ID, first, "numbers go on over runs")
	take(t, scanning, 2)
	eventually(t, func() bool {
		c, err := scanning.Poll()
		return c == nil && err == nil && !s.Engine.Streams()[0].Snapshot
	}, "the snapshot has come to its end")
	require.Zero(t, s.Engine.Streams()[0].LagBytes)
}

// noChange asserts that a stream has nothing to read.
func noChange(t *testing.T, stream api.Stream) {
	t.Helper()
	for {
		c, err := stream.Poll()
		require.NoError(t, err)
		require.Nil(t, c)
		select {
		case <-stream.Ready(): // it says that there may be something
		default:
			return
		}
	}
}

// testReset: a consumer without a stream goes on where it is told to.
func testReset(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	reset := func(start api.Start) error { return s.Engine.Reset(t.Context(), s.ID, "one", start) }
	require.Equal(t, errs.NotFound, errs.KindOf(reset(api.Live())))
	stream := s.consume(t, "one", api.StreamOptions{Reader: "the test"})
	s.insert(1, 2, 3)
	changes := take(t, stream, 3)
	require.Equal(t, "the test", s.consumers(t)[0].Reader)
	require.Equal(t, "the test", s.Engine.Streams()[0].Reader)
	require.Equal(t, "one", s.Engine.Streams()[0].Consumer)
	err := reset(api.Live())
	require.Equal(t, errs.Conflict, errs.KindOf(err))
	require.ErrorContains(t, err, "has a stream, of the test: close that first")
	ack(t, stream, changes[2])
	stream.Close()
	require.Empty(t, s.consumers(t)[0].Reader)

	require.NoError(t, reset(afterCursor(t, changes[0].Cursor())))
	stream = s.consume(t, "one", api.StreamOptions{})
	require.Equal(t, []string{"insert users 2 !", "insert users 3 !"}, brief(take(t, stream, 2)))
	stream.Close()

	require.NoError(t, reset(api.Snapshot()))
	require.True(t, s.consumers(t)[0].Snapshot)
	stream = s.consume(t, "one", api.StreamOptions{})
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2", "snapshot users 3 !"}, brief(take(t, stream, 3)))
	stream.Close()

	require.NoError(t, reset(api.Live()))
	stream = s.consume(t, "one", api.StreamOptions{})
	s.insert(4)
	require.Equal(t, []string{"insert users 4 !"}, brief(take(t, stream, 1)))
	stream.Close()
	for what, start := range map[string]api.Start{
		"of another generation": afterCursor(t, changes[0].Position().Cursor("another")),
		"that is to come":       api.After(api.Behind(1 << 62)),
		"within a snapshot":     api.After(api.SnapshotOf(1)),
	} {
		require.Equal(t, errs.Invalid, errs.KindOf(reset(start)), what)
	}
}
