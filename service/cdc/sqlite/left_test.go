package sqlite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// said returns the line of the log that has a text, "" if there is none. There must not be two.
func lineWith(t *testing.T, said *lockedBuffer, text string) string {
	t.Helper()
	line := ""
	for one := range strings.SplitSeq(said.String(), "\n") {
		if strings.Contains(one, text) {
			require.Empty(t, line, "it is said once: %s", said)
			line = one
		}
	}
	return line
}

const (
	leftUnread = "closed with changes unread"
	backAgain  = "has started again"
)

// What a reader leaves unread that ends before its stream is told, and what it has missed when it comes back.
func TestWhatAReaderLeavesIsTold(t *testing.T) {
	t.Parallel()
	h, said, _ := liveHouse(t)
	opts := api.StreamOptions{Tables: []string{"users"}, Reader: "process 1 of app:main", Owner: "app:main"}
	read := h.subscribe(cdcID, opts)
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	take(t, read, 1)
	api.Abandon(read)
	require.Empty(t, lineWith(t, said, leftUnread), "it has read everything")
	api.Abandon(h.subscribe(cdcID, opts))
	require.Empty(t, lineWith(t, said, backAgain), "it has missed nothing")

	closed := h.subscribe(cdcID, opts)
	h.exec("INSERT INTO users VALUES (2, 'Bob', 1)")
	closed.Close()
	require.Empty(t, lineWith(t, said, leftUnread), "its reader has closed it")

	s := h.subscribe(cdcID, opts)
	require.Empty(t, lineWith(t, said, backAgain), "it has closed the one before")
	h.transact("INSERT INTO users VALUES (3, 'Eve', 1)", "INSERT INTO orders VALUES (1, 1)", "UPDATE users SET score = 2")
	h.exec("INSERT INTO orders VALUES (2, 1)")
	h.exec("INSERT INTO users VALUES (4, 'Joe', 1), (5, 'Kim', 1)")
	take(t, s, 2)
	api.Abandon(s)
	line := lineWith(t, said, leftUnread)
	require.Contains(t, line, `reader="process 1 of app:main"`)
	require.Contains(t, line, "transactions=2 changes=4", "of a transaction that was read in part, too")
	require.Contains(t, line, "level=WARN")
	h.exec("INSERT INTO users VALUES (6, 'Lea', 1)")
	opts.Reader = "process 2 of app:main"
	s = h.subscribe(cdcID, opts)
	line = lineWith(t, said, backAgain)
	require.Contains(t, line, `reader="process 2 of app:main"`)
	require.Contains(t, line, "transactions=3 more=false")
	require.Contains(t, line, "level=WARN")
	h.exec("INSERT INTO users VALUES (7, 'Max', 1)")
	require.Equal(t, int64(7), take(t, s, 1)[0].After[0].Int64())
}

// A stream that was cut off, and whose reader was not told any more.
func TestALaggardThatEndsUntoldIsTold(t *testing.T) {
	t.Parallel()
	h, said, _ := liveHouse(t)
	opts := api.StreamOptions{MaxBytes: 1000, Reader: "process 1 of app:main"}
	for _, told := range []bool{true, false} {
		s := h.subscribe(cdcID, opts)
		for s.Err() == nil {
			h.exec("INSERT INTO orders VALUES (NULL, zeroblob(900))")
		}
		for told {
			if _, err := s.Next(t.Context()); err != nil {
				break
			}
		}
		api.Abandon(s)
		require.Equal(t, !told, lineWith(t, said, "ended before it was told why") != "")
	}
}

// What a consumer has not read it gets later, and so does a reader that keeps its position: there is nothing to tell.
func TestWhatComesAgainIsNotMissed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	said := h.listen()
	h.reopenDB()
	h.serve(h.source(cdcID, durable()))
	for _, opts := range []api.StreamOptions{{Consumer: "one"}, {Start: api.After(h.newest())}, {Start: api.Snapshot()}} {
		opts.Owner = "app:main"
		s := h.subscribe(cdcID, opts)
		h.exec("INSERT INTO users (name) VALUES ('Ann')")
		api.Abandon(s)
		h.subscribe(cdcID, opts).Close()
	}
	require.Empty(t, lineWith(t, said, leftUnread))
	require.Empty(t, lineWith(t, said, backAgain))
}

// Over a restart of the source, too, the reader is told that it has missed something.
func TestAReaderThatComesBackToAnotherRun(t *testing.T) {
	t.Parallel()
	h, said, served := liveHouse(t)
	opts := api.StreamOptions{Owner: "app:main"}
	s := h.subscribe(cdcID, opts)
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	require.NoError(t, served.stop())
	api.Abandon(s)
	require.Contains(t, lineWith(t, said, leftUnread), "transactions=1 changes=1")
	h.serve(h.source(cdcID, config()))
	h.subscribe(cdcID, opts)
	require.Contains(t, lineWith(t, said, backAgain), "transactions=1 more=true")
}
