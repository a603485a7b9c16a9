package sqlite_test

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// listen makes the log of a house, from the next database on, one that can be read.
func (h *house) listen() *lockedBuffer {
	said := new(lockedBuffer)
	h.log = slog.NewTextHandler(said, nil)
	return said
}

// others looks for commits of others and returns how many were found so far.
func (h *house) others() int {
	h.db.LookForOthers()
	return int(h.catalog.Stats()[0].ExternalCommits)
}

// besides opens a connection that is not captured, as another program has one.
func (h *house) besides() *sql.DB {
	h.t.Helper()
	other, err := sql.Open("sqlite3", filepath.Join(h.dir, "app.db")+"?_busy_timeout=60000")
	require.NoError(h.t, err)
	other.SetMaxOpenConns(1)
	h.t.Cleanup(func() { require.NoError(h.t, other.Close()) })
	return other
}

// liveHouse serves a source that is not durable.
func liveHouse(t *testing.T) (*house, *lockedBuffer, *served) {
	t.Helper()
	h := newHouse(t)
	said := h.listen()
	h.reopenDB()
	return h, said, h.serve(h.source(cdcID, config()))
}

const missed = "live streams have missed it"

// A live source tells of each commit of another process, by the log of the program and a counter. Its streams go on.
func TestALiveSourceNoticesOthers(t *testing.T) {
	t.Parallel()
	for deed, commits := range map[string]int{
		"INSERT INTO users VALUES (100, 'Eve', 1)": 1, "UPDATE users SET score = score + 1; DELETE FROM users": 2,
		"CREATE TABLE another (a)": 1, "VACUUM": 1,
		"BEGIN; INSERT INTO users VALUES (100, 'Eve', 1); ROLLBACK": 0,
		"SELECT * FROM users": 0, "PRAGMA integrity_check": 0, "backup": 0,
		"PRAGMA wal_checkpoint(FULL)": 0, "PRAGMA wal_checkpoint(RESTART)": 0, "PRAGMA wal_checkpoint(TRUNCATE)": 0,
	} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel()
			h, said, _ := liveHouse(t)
			s := h.subscribe(cdcID, api.StreamOptions{})
			h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
			h.outsider(deed)
			require.Equal(t, commits, h.others())
			h.exec("INSERT INTO users VALUES (2, 'Bob', 1)")
			require.Equal(t, commits, h.others())
			require.Len(t, take(t, s, 2), 2, "the stream goes on")
			require.Equal(t, min(commits, 1), strings.Count(said.String(), missed), said)
			if commits == 0 {
				return
			}
			require.Contains(t, said.String(), "durable: true")
			h.outsider("INSERT INTO orders VALUES (100, 1)")
			h.exec("INSERT INTO users VALUES (3, 'Joe', 1)")
			require.Equal(t, commits+1, h.others())
			require.Equal(t, 2, strings.Count(said.String(), missed), "once for each time")
		})
	}
}

// The source looks by itself, also when the app does not write, and for the last time when the database is closed.
func TestALiveSourceLooksForOthersByItself(t *testing.T) {
	t.Parallel()
	h, said, served := liveHouse(t)
	other := h.besides()
	_, err := other.ExecContext(t.Context(), "INSERT INTO users VALUES (1, 'Eve', 1)")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return h.catalog.Stats()[0].ExternalCommits == 1 }, time.Minute, time.Millisecond)
	_, err = other.ExecContext(t.Context(), "INSERT INTO users VALUES (2, 'Eve', 1)")
	require.NoError(t, err)
	h.withdraw()
	require.NoError(t, h.db.Close())
	<-served.ended
	require.Equal(t, uint64(2), h.catalog.Stats()[0].ExternalCommits)
	require.Equal(t, 2, strings.Count(said.String(), missed))
}

// What others have written right before the database is closed is a gap of a durable source.
func TestOthersRightBeforeTheEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	_, err := h.besides().ExecContext(t.Context(), "INSERT INTO users VALUES (1, 'Eve', 1)")
	require.NoError(t, err)
	h.withdraw()
	require.NoError(t, h.db.Close())
	<-served.ended
	h.openDB()
	h.serve(h.source(cdcID, durable()))
	gap := h.noticed(begin, 0)
	require.NotNil(t, gap)
	require.Equal(t, api.GapExternalWrite, gap.Cause)
}

// What the app does itself is not taken for others', and hides none of theirs, whatever it does: what writes nothing, fails, commits
// without a hook or on a connection beside the writer.
func TestOthersAreToldFromTheApp(t *testing.T) {
	t.Parallel()
	for name, isDurable := range map[string]bool{"live": false, "durable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(c *sqlapi.SQLiteConfig) {
				c.Allow = append(c.Allow, sqlapi.AllowFiles)
				c.Options = map[string]string{"wal_autocheckpoint": "20"}
			})
			c := config()
			c.Durable = isDurable
			h.serve(h.source(cdcID, c))
			other := h.besides()
			h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
			prepared, err := h.db.Pool().PrepareContext(t.Context(), "VACUUM")
			require.NoError(t, err)
			t.Cleanup(func() { _ = prepared.Close() })
			query := func(query string) {
				rows, err := h.db.Pool().QueryContext(t.Context(), query)
				require.NoError(t, err)
				for rows.Next() { // to the end
				}
				require.NoError(t, errorsOf(rows))
			}
			copies := 0
			own := []func(){
				func() { h.exec("INSERT INTO orders VALUES (NULL, 1)") },
				func() { h.exec("UPDATE users SET name = name") },
				func() { h.exec("UPDATE users SET name = 'x' WHERE id = 77") },
				func() { h.transact("INSERT INTO orders VALUES (NULL, 1)", "DELETE FROM orders") },
				func() { h.exec("BEGIN; INSERT INTO orders VALUES (NULL, 1); ROLLBACK") },
				func() { query("INSERT INTO orders VALUES (NULL, 1) RETURNING id") },
				func() { h.exec("VACUUM") },
				func() { query("VACUUM main") },
				func() { query("VACUUM temp") },
				func() { _, err := prepared.ExecContext(t.Context()); require.NoError(t, err) },
				func() {
					connection, err := h.db.Pool().Conn(t.Context())
					require.NoError(t, err)
					defer func() { require.NoError(t, connection.Close()) }()
					closed, err := connection.PrepareContext(t.Context(), "VACUUM")
					require.NoError(t, err)
					defer func() { require.NoError(t, closed.Close()) }()
				},
				func() {
					copies++
					_, err := h.db.Pool().ExecContext(t.Context(), "VACUUM INTO ?", filepath.Join(h.dir, "copy"+string(rune('a'+copies%26))))
					_ = err // it exists by then, which fails as well
				},
				func() {
					_, err := h.db.Pool().ExecContext(t.Context(), "BEGIN; VACUUM")
					require.Error(t, err)
					_, _ = h.db.Pool().ExecContext(t.Context(), "ROLLBACK") // it may be done
				},
				func() { query("PRAGMA wal_checkpoint(TRUNCATE)") },
				func() { h.exec("PRAGMA user_version = 3") },
				func() { h.exec("CREATE TABLE IF NOT EXISTS more (a); DROP TABLE more") },
				func() { h.beside("UPDATE users SET score = score + 1") },
			}
			n := 0
			for seed := range uint64(400) {
				random := rand.New(rand.NewPCG(seed, 1))
				what := random.IntN(len(own))
				theirs := random.IntN(3)
				for range theirs {
					_, err := other.ExecContext(t.Context(), "INSERT INTO users (name) VALUES ('Eve')")
					require.NoError(t, err)
				}
				n += theirs
				own[what]()
				if random.IntN(2) == 0 {
					require.Equal(t, n, h.others(), "seed %d, %d", seed, what)
				}
			}
			require.Equal(t, n, h.others())
		})
	}
}

func errorsOf(rows *sql.Rows) error {
	err := rows.Err()
	if closed := rows.Close(); err == nil {
		err = closed
	}
	return err
}

// beside writes on a connection of the app that is not captured.
func (h *house) beside(statement string) {
	h.t.Helper()
	require.NoError(h.t, h.db.WithSideConnection(h.t.Context(), func(ctx context.Context, connection *sql.DB) error {
		_, err := connection.ExecContext(ctx, statement)
		h.db.LookForOthers() // which may look at any time
		return err
	}))
}
