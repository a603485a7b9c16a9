package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a database file for a test and closes it at its end. Without a configuration it is that of an entry
// that gives the file alone.
func open(tb testing.TB, configure ...func(*sqlapi.SQLiteConfig)) *sqlite.DB {
	tb.Helper()
	cfg := &sqlapi.SQLiteConfig{File: filepath.Join(tb.TempDir(), "test.db")}
	cfg.SetDefaults()
	cfg.Allow = sqlapi.Allowances()
	for _, f := range configure {
		f(cfg)
	}
	require.NoError(tb, cfg.Validate())
	db, err := sqlite.Open(tb.Context(), idOf("db"), cfg, ".")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

func idOf(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }

// recording is a sink that keeps everything.
type recording struct {
	tables []string

	mu           sync.Mutex
	transactions []sqlapi.Transaction
	lost         []error
	closed       int
}

func (r *recording) Tables() []string { return r.tables }

func (r *recording) Committed(tx sqlapi.Transaction) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transactions = append(r.transactions, tx)
}

func (r *recording) Lost(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, err)
}

func (r *recording) Closed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
}

// take returns the transactions committed since the last call; losses fail the test.
func (r *recording) take(tb testing.TB) []sqlapi.Transaction {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(tb, r.lost)
	taken := r.transactions
	r.transactions = nil
	return taken
}

// record attaches a recording for the tables, all if none is named.
func record(tb testing.TB, db *sqlite.DB, tables ...string) *recording {
	tb.Helper()
	r := &recording{tables: tables}
	detach, err := db.Attach(tb.Context(), r)
	require.NoError(tb, err)
	tb.Cleanup(detach)
	return r
}

// changes reads all changes of a transaction.
func changes(tb testing.TB, tx sqlapi.Transaction) []sqlapi.RowChange {
	tb.Helper()
	rows := tx.Rows(nil)
	defer rows.Close()
	var all []sqlapi.RowChange
	for {
		var row sqlapi.RowChange
		if err := rows.Next(&row); err != nil {
			require.EqualError(tb, err, "EOF")
			return all
		}
		all = append(all, row)
	}
}

// mustExec executes statements one by one.
func mustExec(tb testing.TB, db execer, statements ...string) {
	tb.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(tb.Context(), statement)
		require.NoError(tb, err, statement)
	}
}

// oneConn returns the connection of the pool, until the end of the test.
func oneConn(tb testing.TB, db *sqlite.DB) *sql.Conn {
	tb.Helper()
	conn, err := db.Pool().Conn(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, conn.Close()) })
	return conn
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}
