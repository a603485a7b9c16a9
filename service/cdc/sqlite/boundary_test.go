//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"testing"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// A statement that has written but not ended is no part of the snapshot: it commits, and arrives, when it ends.
func TestStatementThatHasNotEndedComesAfterTheSnapshot(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	h.user("first")
	prepared, err := h.db.Pool().PrepareContext(t.Context(), "INSERT INTO users(name) VALUES ('second') RETURNING id")
	require.NoError(t, err)
	_, err = prepared.ExecContext(t.Context())
	require.NoError(t, err)
	s := h.subscribe(cdcID, always)
	require.NoError(t, prepared.Close()) //nolint:sqlclosecheck // closing is what ends it
	h.user("third")
	require.Equal(t, []string{
		"1.0 snapshot users -> 1 first <nil> !", "2.0 insert users -> 2 second <nil> !", "3.0 insert users -> 3 third <nil> !",
	}, lines(take(t, s, 3)))
}

// What was written past database/sql is told when the connection is used again: the snapshot must not come between.
func TestWhatWasWrittenThroughTheDriverIsInTheSnapshotOnly(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	connection, err := h.db.Pool().Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, connection.Raw(func(driverConn any) error {
		wrapped, ok := driverConn.(interface{ Unwrap() *sqlite3.SQLiteConn })
		require.True(t, ok)
		_, err := wrapped.Unwrap().ExecContext(t.Context(), "INSERT INTO users(name) VALUES ('first')", nil)
		return err
	}))
	require.NoError(t, connection.Close())
	s := h.subscribe(cdcID, always)
	h.user("second")
	require.Equal(t, []string{"1.0 snapshot users -> 1 first <nil> !", "2.0 insert users -> 2 second <nil> !"}, lines(take(t, s, 2)))
}

// A connection that the pool replaces makes no difference.
func TestSnapshotOfAConnectionThatWasReplaced(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	h.user("first")
	h.db.Pool().SetMaxIdleConns(0) // closes the idle one
	s := h.subscribe(cdcID, always)
	h.user("second")
	h.user("third")
	require.Equal(t, []string{
		"1.0 snapshot users -> 1 first <nil> !", "2.0 insert users -> 2 second <nil> !", "3.0 insert users -> 3 third <nil> !",
	}, lines(take(t, s, 3)))
}
