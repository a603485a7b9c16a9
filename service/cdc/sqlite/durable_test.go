package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

func durable(tables ...string) *api.SQLiteConfig {
	c := config(tables...)
	c.Durable = true
	return c
}

// resume opens a stream behind a position.
func (h *house) resume(after api.Position) api.Stream {
	h.t.Helper()
	return h.subscribe(cdcID, api.StreamOptions{Start: api.After(after)})
}

func (h *house) newest() api.Position { return api.Behind(h.db.LogState().Newest) }

// idle fails if a stream has more to deliver.
func idle(t *testing.T, s api.Stream) {
	t.Helper()
	c, err := s.Poll()
	require.NoError(t, err)
	require.Nil(t, c)
}

func TestWhatIsCommittedWithoutAReaderIsThereLater(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1.5)")
	h.transact("INSERT INTO orders VALUES (1, x'00ff')", "UPDATE users SET name = NULL", "DELETE FROM orders")
	s := h.resume(begin)
	first := take(t, s, 4)
	idle(t, s)
	h.exec("INSERT INTO users VALUES (2, 'Bob', 2)") // it has joined the log
	changes := append(first, take(t, s, 1)...)
	n := begin.Sequence
	want := []string{
		fmt.Sprintf("%d.0 insert users -> 1 Ann 1.5 !", n+1),
		fmt.Sprintf("%d.0 insert orders -> 1 [0 255]", n+2),
		fmt.Sprintf("%d.1 update users 1 Ann 1.5 -> 1 <nil> 1.5", n+2),
		fmt.Sprintf("%d.2 delete orders 1 [0 255] -> !", n+2),
		fmt.Sprintf("%d.0 insert users -> 2 Bob 2 !", n+3),
	}
	require.Equal(t, want, lines(changes))

	require.NoError(t, served.stop())
	h.exec("INSERT INTO users VALUES (3, 'Eve', 3)") // the database writes its log without the source
	h.reopenDB()
	h.exec("INSERT INTO users VALUES (4, 'Joe', 4)")
	h.serve(h.source(cdcID, durable()))
	s = h.resume(changes[1].Position()) // in the middle of a transaction
	want = append(want[2:], fmt.Sprintf("%d.0 insert users -> 3 Eve 3 !", n+4), fmt.Sprintf("%d.0 insert users -> 4 Joe 4 !", n+5))
	again := take(t, s, 5)
	require.Equal(t, want, lines(again))
	require.Equal(t, changes[2].Cursor(), again[0].Cursor(), "cursors are the same over restarts")
	require.Equal(t, changes[2].Transaction.CommittedAt, again[0].Transaction.CommittedAt)
}

func TestSchemaChangesInADurableLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	h.exec("CREATE TABLE pets (name TEXT PRIMARY KEY, age INT)")
	h.exec("INSERT INTO pets VALUES ('Rex', 3)")
	h.exec("ALTER TABLE pets ADD COLUMN kind TEXT DEFAULT 'dog'")
	h.exec("UPDATE pets SET age = 4")
	h.transact("INSERT INTO pets VALUES ('Tom', 1, 'cat')", "ALTER TABLE pets RENAME TO animals", "INSERT INTO animals VALUES ('Kit', 0, 'cat')")
	h.exec("CREATE TABLE copy AS SELECT * FROM animals")
	h.exec("DROP TABLE animals")
	read := func(s api.Stream, n int) []string {
		var all []string
		for _, c := range take(t, s, n) {
			line := string(c.Op) + " " + c.Table.Name + image(c.Before) + " ->" + image(c.After)
			if c.Schema != nil {
				line = string(c.Schema.Action) + " " + c.Table.Name
			}
			all = append(all, line)
		}
		return all
	}
	want := []string{
		"create pets", "insert pets -> Rex 3", "alter pets", "update pets Rex 3 dog -> Rex 4 dog",
		"insert pets -> Tom 1 cat", "alter animals", "insert animals -> Kit 0 cat",
		"create copy", "insert copy -> Rex 4 dog", "insert copy -> Tom 1 cat", "insert copy -> Kit 0 cat",
	}
	opts := api.StreamOptions{Start: api.After(begin), Schema: true}
	require.Equal(t, want, read(h.subscribe(cdcID, opts), len(want)))
	require.NoError(t, served.stop())
	h.reopenDB()
	h.serve(h.source(cdcID, durable()))
	require.Equal(t, want, read(h.subscribe(cdcID, opts), len(want)))
}

func TestALargeTransactionInADurableLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	const rows = 30_000 // some 6 MB, of which 1 MiB may be in memory
	h.exec(`WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO users SELECT i, hex(zeroblob(100)), i FROM n`, rows)
	h.exec("INSERT INTO orders VALUES (1, 1)")
	s := h.resume(begin)
	for i := range rows {
		require.Equal(t, int64(i+1), take(t, s, 1)[0].After[0].Int64())
	}
	require.Equal(t, "orders", take(t, s, 1)[0].Table.Name)
}

func TestAReaderFarBehindGoesOnInTheFiles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := durable()
	c.LogBytes = 64 * unit.KiB
	h.serve(h.source(cdcID, c))
	begin := h.newest()
	s := h.resume(begin)
	idle(t, s)
	slow := h.resume(begin)
	idle(t, slow)
	const rows = 4000
	next := int64(1)
	for i := range rows {
		h.exec("INSERT INTO orders VALUES (?, hex(zeroblob(60)))", i+1)
		if i%7 == 0 {
			require.Equal(t, next, take(t, slow, 1)[0].After[0].Int64())
			next++
		}
	}
	for i := range rows {
		require.Equal(t, int64(i+1), take(t, s, 1)[0].After[0].Int64())
	}
	for ; next <= rows; next++ {
		require.Equal(t, next, take(t, slow, 1)[0].After[0].Int64())
	}
	idle(t, s)
	idle(t, slow)
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	require.Equal(t, "users", take(t, s, 1)[0].Table.Name)
	require.Equal(t, "users", take(t, slow, 1)[0].Table.Name)
}

// gapOf returns the gap that ends a stream.
func gapOf(tb testing.TB, err error) *api.GapError {
	tb.Helper()
	gap, ok := errors.AsType[*api.GapError](err)
	require.True(tb, ok, "%v", err)
	require.Equal(tb, errs.Unavailable, errs.KindOf(err))
	require.True(tb, errs.Retryable(err))
	require.NotEmpty(tb, gap.Generation)
	require.Equal(tb, cdcID, gap.Source)
	return gap
}

func TestCommitsOfOthersAreGaps(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	live := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	other, err := sql.Open("sqlite3", filepath.Join(h.dir, "app.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	var n int
	require.NoError(t, other.QueryRowContext(t.Context(), "SELECT count(*) FROM users").Scan(&n)) // reading is none
	_, err = other.ExecContext(t.Context(), "PRAGMA wal_checkpoint")
	require.NoError(t, err)
	h.exec("INSERT INTO users VALUES (2, 'Bob', 2)")
	require.Len(t, take(t, live, 2), 2)
	_, err = other.ExecContext(t.Context(), "INSERT INTO users VALUES (3, 'Eve', 3)")
	require.NoError(t, err)
	h.exec("INSERT INTO users VALUES (4, 'Joe', 4)")
	for _, s := range []api.Stream{live, h.resume(begin)} {
		if s != live {
			take(t, s, 2)
		}
		_, err := s.Next(t.Context())
		gap := gapOf(t, err)
		require.Equal(t, api.GapExternalWrite, gap.Cause)
		require.Equal(t, "users", take(t, h.resume(gap.Before), 1)[0].Table.Name)
	}

	_, err = other.ExecContext(t.Context(), "DELETE FROM users WHERE id = 3")
	require.NoError(t, err)
	s := h.resume(h.newest()) // noticed without a commit of ours
	_, err = s.Next(t.Context())
	require.Equal(t, api.GapExternalWrite, gapOf(t, err).Cause)
}

func TestCommitsOfOthersWhileTheDatabaseIsClosed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	begin := h.newest()
	reopen := func(between func()) {
		require.NoError(t, served.stop())
		h.withdraw()
		require.NoError(t, h.db.Close())
		between()
		h.openDB()
		served = h.serve(h.source(cdcID, durable()))
	}
	other := func(statements string) {
		db, err := sql.Open("sqlite3", filepath.Join(h.dir, "app.db"))
		require.NoError(t, err)
		_, err = db.ExecContext(t.Context(), statements)
		require.NoError(t, err)
		require.NoError(t, db.Close())
	}
	reopen(func() { other("SELECT count(*) FROM users") })
	idle(t, h.resume(begin))
	reopen(func() { other("INSERT INTO users VALUES (2, 'Bob', 2)") })
	_, err := h.resume(begin).Next(t.Context())
	gap := gapOf(t, err)
	require.Equal(t, api.GapExternalWrite, gap.Cause)
	h.exec("INSERT INTO users VALUES (3, 'Eve', 3)")
	require.Len(t, take(t, h.resume(gap.Before), 1), 1)
}

func TestWhatCannotBeDurable(t *testing.T) {
	t.Parallel()
	for want, configure := range map[string]func(*sqlapi.SQLiteConfig){
		"is in memory": func(c *sqlapi.SQLiteConfig) { c.File = sqlapi.InMemory },
		"needs journal_mode = wal, and the database has delete":       func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"journal_mode": "delete"} },
		"needs locking_mode = normal, and the database has exclusive": func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"locking_mode": "exclusive"} },
	} {
		h := newHouse(t, configure)
		err := h.source(cdcID, durable()).Serve(t.Context(), func() {})
		require.ErrorContains(t, err, want)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
}

// Shadow tables of a full-text index are met by what is undone, and never have a shape.
func TestATransactionOfWhichAllWasUndoneIsNoGap(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE VIRTUAL TABLE words USING fts4(body)")
	h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	h.transact("SAVEPOINT s", "INSERT INTO words (rowid, body) VALUES (1, 'a')", "ROLLBACK TO s")
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	require.Equal(t, "users", take(t, h.resume(begin), 1)[0].Table.Name)
}
