//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Rows of a shadow table are in the records of the transaction that has met it for the first time. What the table is called there
// must not be taken for another one, by readers that keep up and by those that come late.
func TestShadowTablesKeepTheirSlots(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE VIRTUAL TABLE docs USING fts5(body)")
	h.serve(h.source(cdcID, config()))
	prompt, late := h.subscribe(cdcID, api.StreamOptions{Schema: true}), h.subscribe(cdcID, api.StreamOptions{Schema: true})
	h.transact("INSERT INTO docs VALUES ('a')", "INSERT INTO users VALUES (1, 'Ann', 1)")
	want := []string{"1.2 insert users -> 1 Ann 1 !"}
	got := take(t, prompt, 1)
	for i := range 75 {
		h.exec(fmt.Sprintf("CREATE TABLE t%d (x, y)", i))
		h.exec(fmt.Sprintf("INSERT INTO t%d VALUES (%d, 'y')", i, i))
		for _, c := range take(t, prompt, 2) {
			require.Equal(t, fmt.Sprintf("t%d", i), c.Table.Name)
			got = append(got, c)
		}
	}
	require.Equal(t, want, lines(got[:1]))
	require.Equal(t, lines(got), lines(take(t, late, len(got))))
}

// In a durable log, each connection begins with the same slots.
func TestShadowTablesKeepTheirSlotsInFiles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE VIRTUAL TABLE docs USING fts5(body)")
	h.exec("CREATE TABLE pair (a INTEGER PRIMARY KEY, b)")
	served := h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	h.subscribe(cdcID, api.StreamOptions{Consumer: "one"}).Close()
	h.transact("INSERT INTO docs VALUES ('a')", "INSERT INTO users VALUES (1, 'Ann', 1)")
	require.NoError(t, served.stop())
	h.reopenDB()
	h.serve(h.source(cdcID, durable()))
	h.exec("INSERT INTO pair VALUES (10, 'p')")
	h.exec("INSERT INTO users VALUES (2, 'Bob', 1)")
	h.exec("INSERT INTO orders VALUES (5, 7)")
	want := []string{"insert users 1", "insert pair 10", "insert users 2", "insert orders 5"}
	for _, s := range []api.Stream{h.resume(begin), h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})} {
		var got []string
		for _, c := range take(t, s, len(want)) {
			got = append(got, fmt.Sprintf("%s %s %d", c.Op, c.Table.Name, c.After[0].Int64()))
		}
		require.Equal(t, want, got)
		s.Close()
	}
}

// columns names those of the table of a change.
func columns(c *api.Change) (names []string) {
	for _, column := range c.Table.Columns {
		names = append(names, column.Name)
	}
	return names
}

// foreignDeeds are changes of users by another connection, with what the table has from then on.
func foreignDeeds() map[string][]string {
	return map[string][]string{
		"ALTER TABLE users RENAME COLUMN name TO nick": {"id", "nick", "score"}, "ALTER TABLE users ADD COLUMN c DEFAULT 5": {"id", "name", "score", "c"},
	}
}

// A change of the schema that was undone has the version that the next one gets, also if another connection makes that.
func TestOthersChangeTheSchemaAfterOneThatWasUndone(t *testing.T) {
	t.Parallel()
	for deed, want := range foreignDeeds() {
		for _, undone := range []string{
			"BEGIN; ALTER TABLE orders ADD COLUMN z; ROLLBACK", "BEGIN; SAVEPOINT s; ALTER TABLE orders ADD COLUMN z; ROLLBACK TO s; COMMIT",
		} {
			h := newHouse(t)
			h.serve(h.source(cdcID, config()))
			s := h.subscribe(cdcID, api.StreamOptions{})
			h.exec("INSERT INTO users (id) VALUES (1)")
			h.exec(undone)
			h.exec("INSERT INTO users (id) VALUES (2)")
			h.outsider(deed)
			h.exec("INSERT INTO users (id) VALUES (3)")
			changes := take(t, s, 3)
			require.Equal(t, []string{"id", "name", "score"}, columns(changes[1]), undone)
			require.Equal(t, want, columns(changes[2]), undone)
		}
	}
}

// The commit that comes right behind another connection's change of the schema is written to the log before that is noticed.
func TestTheLogHasTheTableAsOthersHaveLeftIt(t *testing.T) {
	t.Parallel()
	for deed, want := range foreignDeeds() {
		h := newHouse(t)
		h.serve(h.source(cdcID, durable()))
		begin := h.newest()
		h.exec("INSERT INTO users (id) VALUES (1)")
		h.outsider(deed)
		h.exec("INSERT INTO users (id) VALUES (3)")
		h.exec("INSERT INTO users (id) VALUES (4)")
		s := h.resume(begin)
		require.Equal(t, []string{"id", "name", "score"}, columns(take(t, s, 1)[0]))
		_, err := s.Next(t.Context())
		for range 2 {
			again := h.resume(gapOf(t, err).Before)
			for _, c := range take(t, again, 2) {
				require.Equal(t, want, columns(c), deed)
			}
			again.Close()
		}
	}
}

// What others have changed is not forgotten when another source comes or goes in the middle of a transaction.
func TestASourceThatGoesHidesNoChangeOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(cdcID, config("users")))
	two := h.serve(h.source(registry.ID{Namespace: "app", Name: "two"}, config("orders")))
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO users (id) VALUES (1)")
	conn, err := h.db.Pool().Conn(t.Context())
	require.NoError(t, err)
	do := func(statement string) {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	do("BEGIN")
	h.outsider("ALTER TABLE users RENAME COLUMN name TO nick")
	var n int
	require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT count(*) FROM users").Scan(&n))
	stopped := make(chan error)
	go func() { stopped <- two.stop() }()
	require.Eventually(t, func() bool {
		info, _ := h.catalog.Source(registry.ID{Namespace: "app", Name: "two"})
		return info.State != api.StateRunning
	}, time.Minute, time.Millisecond)
	<-time.After(100 * time.Millisecond) // it detaches by now, or else the test shows nothing
	do("INSERT INTO users (id) VALUES (2)")
	do("COMMIT")
	require.NoError(t, conn.Close())
	require.NoError(t, <-stopped)
	require.Equal(t, []string{"id", "nick", "score"}, columns(take(t, s, 2)[1]))
}
