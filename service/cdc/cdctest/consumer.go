package cdctest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// consume opens the stream of a consumer.
func (s *Subject) consume(t *testing.T, name string, opts api.StreamOptions) api.Stream {
	t.Helper()
	opts.Consumer = name
	return s.subscribe(t, opts)
}

// durable skips a test of what only sources can do that keep what has committed.
func (s *Subject) durable(t *testing.T) {
	t.Helper()
	if !s.info(t).Capabilities.Replayable {
		t.Skip("it keeps nothing")
	}
}

// insert makes a transaction for each row of users.
func (s *Subject) insert(ids ...int) {
	for _, id := range ids {
		s.Transact(fmt.Sprintf("INSERT INTO users (id, name) VALUES (%d, 'a')", id))
	}
}

func ack(t *testing.T, s api.Stream, c *api.Change) {
	t.Helper()
	require.NoError(t, s.Ack(c.Position()))
}

// testConsumerResumes: the next stream begins behind what the one before has acknowledged, in the middle of a
// transaction too.
func testConsumerResumes(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	stream := s.consume(t, "one", api.StreamOptions{})
	s.insert(1, 2)
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'a'), (4, 'b'), (5, 'c')")
	first := take(t, stream, 5)
	ack(t, stream, first[2])
	stream.Close()
	s.insert(6)
	for range 2 {
		stream = s.consume(t, "one", api.StreamOptions{Start: api.Snapshot()})
		again := take(t, stream, 3)
		require.Equal(t, []string{"insert users 4", "insert users 5 !", "insert users 6 !"}, brief(again), "options for the first stream do not count")
		require.Equal(t, []string{first[3].Cursor(), first[4].Cursor()}, []string{again[0].Cursor(), again[1].Cursor()})
		stream.Close()
	}
	stream = s.consume(t, "one", api.StreamOptions{})
	ack(t, stream, take(t, stream, 3)[2])
	s.insert(7)
	require.Equal(t, []string{"insert users 7 !"}, brief(take(t, stream, 1)))
}

// testConsumerBehindOthers: a consumer comes back behind what others have read, and neither it nor they miss or repeat
// anything.
func testConsumerBehindOthers(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	plain := s.subscribe(t, api.StreamOptions{})
	ahead := s.consume(t, "ahead", api.StreamOptions{})
	behind := s.consume(t, "behind", api.StreamOptions{})
	s.insert(1, 2, 3)
	ack(t, behind, take(t, behind, 2)[0])
	behind.Close()
	take(t, plain, 3)
	take(t, ahead, 3)
	for n := 4; n < 40; n++ { // what is read leaves the log
		s.insert(n)
		require.Len(t, take(t, plain, 1), 1)
		ack(t, ahead, take(t, ahead, 1)[0])
	}
	behind = s.consume(t, "behind", api.StreamOptions{})
	s.insert(100)
	late := take(t, behind, 39)
	for n, c := range late[:38] {
		require.EqualValues(t, n+2, c.After[0].Int64())
	}
	require.Equal(t, []string{"insert users 100 !"}, brief(late[38:]))
	require.Equal(t, []string{"insert users 100 !"}, brief(take(t, plain, 1)), "nothing comes again")
	require.Equal(t, []string{"insert users 100 !"}, brief(take(t, ahead, 1)), "nothing comes again")
}

// testConsumerRestart: what was acknowledged is written when the source stops, and what was not comes again.
func testConsumerRestart(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	stop := s.Start()
	stream, idle := s.consume(t, "one", api.StreamOptions{}), s.consume(t, "idle", api.StreamOptions{Tables: []string{"orders"}})
	s.insert(1, 2, 3)
	changes := take(t, stream, 3)
	ack(t, stream, changes[1])
	stop()
	_, err := stream.Next(t.Context())
	require.True(t, errs.Is(err, errs.Unavailable), err)
	require.Equal(t, errs.Unavailable, errs.KindOf(stream.Ack(changes[2].Position())), "it cannot be written any more")
	require.Equal(t, err, idle.Err())
	defer s.Start()()
	stream, idle = s.consume(t, "one", api.StreamOptions{}), s.consume(t, "idle", api.StreamOptions{Tables: []string{"orders"}})
	again := take(t, stream, 1)
	require.Equal(t, changes[2].Cursor(), again[0].Cursor())
	s.Transact("INSERT INTO orders (id, name) VALUES (1, 'b')")
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, stream, 1)))
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, idle, 1)))
}

// testConsumerReload: a consumer goes on where it was when the entry of its source was replaced, and gets what has committed meanwhile.
func testConsumerReload(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	stop := s.Start()
	stream := s.consume(t, "one", api.StreamOptions{})
	s.insert(1, 2)
	changes := take(t, stream, 2)
	ack(t, stream, changes[0])
	for n := range 2 {
		stop()
		s.Reload()
		s.insert(3 + n)
		stop = s.Start()
		stream = s.consume(t, "one", api.StreamOptions{})
		again := take(t, stream, 2)
		require.Equal(t, changes[1].Cursor(), again[0].Cursor())
		require.Equal(t, []string{fmt.Sprintf("insert users %d !", 3+n)}, brief(again[1:]))
		ack(t, stream, again[0])
		changes = again
	}
	stop()
}

// testConsumerSnapshot: a snapshot that was not acknowledged to its last row begins anew, one that was is followed by
// what has committed since, whatever happens in between.
func testConsumerSnapshot(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	stop := s.Start()
	opts := api.StreamOptions{Start: api.Snapshot(), Tables: []string{"users"}}
	stream := s.consume(t, "one", opts)
	s.insert(4)
	rows := take(t, stream, 4)
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2", "snapshot users 3 !", "insert users 4 !"}, brief(rows))
	ack(t, stream, rows[1])
	require.True(t, s.consumers(t)[0].Snapshot)
	stream.Close()
	stream = s.consume(t, "one", api.StreamOptions{})
	rows = take(t, stream, 4)
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2", "snapshot users 3", "snapshot users 4 !"}, brief(rows))
	s.insert(5)
	ack(t, stream, rows[3])
	require.False(t, s.consumers(t)[0].Snapshot)
	require.Equal(t, rows[3].Cursor(), s.consumers(t)[0].Cursor)
	stop()
	defer s.Start()()
	stream = s.consume(t, "one", opts)
	require.Equal(t, []string{"insert users 5 !"}, brief(take(t, stream, 1)))
}

// testConsumerEmptySnapshot: where there is no row to acknowledge, a snapshot is complete when the reader comes back.
func testConsumerEmptySnapshot(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	stream := s.consume(t, "one", api.StreamOptions{Start: api.Snapshot()})
	s.insert(1)
	require.Equal(t, []string{"insert users 1 !"}, brief(take(t, stream, 1)))
	stream.Close()
	stream = s.consume(t, "one", api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"insert users 1 !"}, brief(take(t, stream, 1)))
}

// testMarkers: what marks a snapshot stands around its rows, and is what a consumer acknowledges.
func testMarkers(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	opts := api.StreamOptions{Start: api.Snapshot(), Markers: true}
	empty := take(t, s.subscribe(t, opts), 2)
	require.Equal(t, []api.Op{api.OpBegin, api.OpEnd}, []api.Op{empty[0].Op, empty[1].Op})
	require.False(t, empty[0].Last)
	require.True(t, empty[1].Last)
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')")
	stream := s.subscribe(t, opts)
	s.insert(3)
	changes := take(t, stream, 5)
	require.Equal(t, []api.Op{api.OpBegin, api.OpSnapshot, api.OpSnapshot, api.OpEnd, api.OpInsert},
		[]api.Op{changes[0].Op, changes[1].Op, changes[2].Op, changes[3].Op, changes[4].Op})
	require.False(t, changes[2].Last)
	for i := 1; i < len(changes); i++ {
		require.Less(t, changes[i-1].Cursor(), changes[i].Cursor())
	}
	require.Same(t, changes[0].Transaction, changes[3].Transaction)
	s.durable(t)
	stream = s.consume(t, "one", opts)
	changes = take(t, stream, 5)
	ack(t, stream, changes[3])
	stream.Close()
	stream = s.consume(t, "one", opts)
	changes = take(t, stream, 5)
	require.Equal(t, api.OpBegin, changes[0].Op, "the end was not acknowledged")
	ack(t, stream, changes[4])
	stream.Close()
	stream = s.consume(t, "one", opts)
	s.insert(4)
	require.Equal(t, []string{"insert users 4 !"}, brief(take(t, stream, 1)))
}

// testOneStreamOfAConsumer: a second stream is refused, and the first one named.
func testOneStreamOfAConsumer(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	stream := s.consume(t, "one", api.StreamOptions{Reader: "process 7 of app:main"})
	_, err := s.Engine.Subscribe(t.Context(), s.ID, api.StreamOptions{Consumer: "one"})
	require.True(t, errs.Is(err, errs.Conflict), err)
	require.True(t, errs.Retryable(err))
	require.ErrorContains(t, err, `consumer "one" has a stream already, of process 7 of app:main`)
	s.consume(t, "two", api.StreamOptions{})
	stream.Close()
	s.consume(t, "one", api.StreamOptions{})
}

// testForget: a consumer that is forgotten begins as the first time, and its stream says why it has ended.
func testForget(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	stop := s.Start()
	stream := s.consume(t, "one", api.StreamOptions{})
	s.insert(1)
	change := take(t, stream, 1)[0]
	require.NoError(t, s.Engine.Forget(t.Context(), s.ID, "one"))
	_, err := stream.Next(t.Context())
	require.True(t, errs.Is(err, errs.NotFound), err)
	require.ErrorContains(t, err, `consumer "one" was forgotten`)
	require.Equal(t, errs.Unavailable, errs.KindOf(stream.Ack(change.Position())))
	require.Empty(t, s.consumers(t))
	require.Equal(t, errs.NotFound, errs.KindOf(s.Engine.Forget(t.Context(), s.ID, "one")))
	stop()
	defer s.Start()()
	require.Empty(t, s.consumers(t))
	stream = s.consume(t, "one", api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"snapshot users 1 !"}, brief(take(t, stream, 1)))
}

// testAcks: only what a consumer's stream has delivered is acknowledged, all up to there.
func testAcks(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	plain, stream := s.subscribe(t, api.StreamOptions{}), s.consume(t, "one", api.StreamOptions{})
	s.insert(1, 2)
	changes := take(t, plain, 2)
	require.Equal(t, errs.Invalid, errs.KindOf(plain.Ack(changes[0].Position())), "it is no consumer's")
	take(t, stream, 1)
	require.Equal(t, errs.Invalid, errs.KindOf(stream.Ack(changes[1].Position())), "it was not delivered")
	take(t, stream, 1)
	ack(t, stream, changes[1])
	ack(t, stream, changes[0])
	one := s.consumers(t)
	require.Len(t, one, 1)
	require.Equal(t, "one", one[0].Name)
	require.GreaterOrEqual(t, one[0].Cursor, changes[1].Cursor(), "an earlier one takes nothing back")
	require.False(t, one[0].AckedAt.IsZero())
	require.True(t, one[0].Connected)
	require.NotEqual(t, []int64{-1, -1}, []int64{one[0].LagBytes, one[0].LagTransactions})
	stream.Close()
	require.False(t, s.consumers(t)[0].Connected)
	require.Equal(t, s.consumers(t), s.info(t).Consumers)
}

// testNoConsumers: a source that keeps nothing says what its entry lacks.
func testNoConsumers(t *testing.T, s *Subject) {
	t.Helper()
	if s.info(t).Capabilities.Replayable {
		t.Skip("it has consumers")
	}
	defer s.Start()()
	for _, opts := range []api.StreamOptions{{Consumer: "one"}, {Start: afterCursor(t, api.Behind(1).Cursor(s.info(t).Generation))}} {
		require.ErrorContains(t, s.Engine.Check(s.ID, opts), "durable: true")
		_, err := s.Engine.Subscribe(t.Context(), s.ID, opts)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
	_, err := s.Engine.Consumers(s.ID)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.Equal(t, errs.Invalid, errs.KindOf(s.Engine.Forget(t.Context(), s.ID, "one")))
}

// testGapOfAConsumer: a consumer is told of what could not be captured, and begins anew only when it asks for that.
func testGapOfAConsumer(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	defer s.Start()()
	stream := s.consume(t, "one", api.StreamOptions{})
	s.insert(1)
	large := strings.Repeat("x", int(MaxTransaction))
	s.Transact("INSERT INTO users (id, name) VALUES (2, '"+large+"')", "INSERT INTO users (id, name) VALUES (20, '"+large+"')")
	ack(t, stream, take(t, stream, 1)[0])
	gap, isGap := errors.AsType[*api.GapError](s.ended(t, stream))
	require.True(t, isGap)
	require.Equal(t, s.info(t).Generation, gap.Generation)
	stream.Close()
	again, err := s.Engine.Subscribe(t.Context(), s.ID, api.StreamOptions{Consumer: "one"})
	if err == nil { // it may end at the gap, or not begin
		err = s.ended(t, again)
		again.Close()
	}
	gap, isGap = errors.AsType[*api.GapError](err)
	require.True(t, isGap, err)
	stream = s.consume(t, "one", api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2", "snapshot users 20 !"}, brief(take(t, stream, 3)))
	s.insert(3)
	stream = s.subscribe(t, api.StreamOptions{Start: afterCursor(t, gap.Before.Cursor(gap.Generation))})
	require.Equal(t, []string{"insert users 3 !"}, brief(take(t, stream, 1)))
}

// consumers describes those of the source.
func (s *Subject) consumers(t *testing.T) []api.ConsumerInfo {
	t.Helper()
	all, err := s.Engine.Consumers(s.ID)
	require.NoError(t, err)
	return all
}
