package cdctest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// testAfter: a stream begins behind a position that its reader keeps, also of an earlier run.
func testAfter(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	stop := s.Start()
	begin := func(c *api.Change) api.StreamOptions { return api.StreamOptions{Start: afterCursor(t, c.Cursor())} }
	stream := s.subscribe(t, api.StreamOptions{})
	s.insert(0)
	first := take(t, stream, 1)[0]
	stream.Close()
	s.insert(1, 2, 3)
	stream = s.subscribe(t, begin(first))
	changes := take(t, stream, 3)
	require.Equal(t, []string{"insert users 1 !", "insert users 2 !", "insert users 3 !"}, brief(changes))
	stream.Close()
	again := take(t, s.subscribe(t, begin(changes[1])), 1)
	require.Equal(t, changes[2].Cursor(), again[0].Cursor())
	stop()
	defer s.Start()()
	again = take(t, s.subscribe(t, begin(changes[1])), 1)
	require.Equal(t, changes[2].Cursor(), again[0].Cursor())
	for what, opts := range map[string]api.StreamOptions{
		"of another generation": {Start: afterCursor(t, changes[0].Position().Cursor("another"))},
		"that is to come":       {Start: api.After(api.Behind(1 << 62))},
		"within a snapshot":     {Start: api.After(api.SnapshotOf(1))},
		"with a consumer":       {Start: begin(changes[0]).Start, Consumer: "one"},
	} {
		_, err := s.Engine.Subscribe(t.Context(), s.ID, opts)
		require.Equal(t, errs.Invalid, errs.KindOf(err), "%s: %v", what, err)
	}
}

func afterCursor(t *testing.T, cursor string) api.Start {
	t.Helper()
	start, err := api.AfterCursor(cursor)
	require.NoError(t, err)
	return start
}

// testAfterWithin: behind a change in the middle of a transaction comes the rest of it, after a restart too, as long as a consumer has
// yet to acknowledge it, or the reader has not come back for more.
func testAfterWithin(t *testing.T, s *Subject) {
	t.Helper()
	s.durable(t)
	for i, held := range []bool{false, true} {
		stop := s.Start()
		if held {
			s.consume(t, "behind", api.StreamOptions{})
		}
		stream := s.subscribe(t, api.StreamOptions{})
		s.Transact(fmt.Sprintf("INSERT INTO users (id, name) VALUES (%d, 'a'), (%d, 'b'), (%d, 'c')", 10*i+1, 10*i+2, 10*i+3))
		changes := take(t, stream, 2)
		if held {
			changes = append(changes, take(t, stream, 1)...)
			_, err := stream.Poll() // which acknowledges them
			require.NoError(t, err)
		}
		stream.Close()
		for range 2 {
			again := s.subscribe(t, api.StreamOptions{Start: afterCursor(t, changes[0].Cursor())})
			rest := take(t, again, 1)
			require.Equal(t, changes[1].Cursor(), rest[0].Cursor())
			again.Close()
			stop()
			stop = s.Start()
		}
		again := s.subscribe(t, api.StreamOptions{Start: afterCursor(t, changes[0].Cursor())})
		s.insert(10*i + 4)
		rest := take(t, again, 3)
		require.Equal(t, changes[1].Cursor(), rest[0].Cursor())
		require.Equal(t, []string{fmt.Sprintf("insert users %d !", 10*i+3), fmt.Sprintf("insert users %d !", 10*i+4)}, brief(rest[1:]))
		_, err := again.Poll() // what is acknowledged does not come to the next stream
		require.NoError(t, err)
		again.Close()
		stop()
	}
}
