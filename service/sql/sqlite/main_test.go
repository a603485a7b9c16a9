package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
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
	transactions []*transaction
	lost         []error
	closed       int
}

func (r *recording) Tables() []string { return r.tables }

func (r *recording) Committed(c *sqlite.Commit) {
	tx := &transaction{counts: c.Counts, touched: slices.Clone(c.Touched), records: make([]byte, c.Spilled.Size()), spilled: c.Spilled.Size()}
	if tx.spilled > 0 {
		_, tx.err = c.Spilled.ReadAt(tx.records, 0)
	}
	tx.records = append(tx.records, c.Records...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transactions = append(r.transactions, tx)
}

func (r *recording) Others(int) {}

func (r *recording) Lost(_ uint64, _ api.GapCause, err error) {
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
func (r *recording) take(tb testing.TB) []*transaction {
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

// transaction is what a recording has kept of a commit.
type transaction struct {
	touched []sqlite.TouchedTable
	counts  [capture.OpSchema + 1]uint32
	records []byte
	spilled int64
	err     error
}

// changes decodes all changes of a transaction, and compares them with its summary.
func changes(tb testing.TB, tx *transaction) []api.Change {
	tb.Helper()
	require.NoError(tb, tx.err)
	var all []api.Change
	var counts [capture.OpSchema + 1]uint32
	skipped := 0
	for rest := tx.records; len(rest) > 0; {
		record := rest[:binary.LittleEndian.Uint32(rest)]
		rest = rest[len(record):]
		op, slot := capture.Op(record[4]), binary.LittleEndian.Uint32(record[8:])
		counts[op]++
		i := slices.IndexFunc(tx.touched, func(t sqlite.TouchedTable) bool { return t.Slot == slot })
		require.GreaterOrEqual(tb, i, 0, "the summary lacks a table")
		require.NotZero(tb, tx.touched[i].Ops>>op&1, "the summary lacks an operation")
		if tx.touched[i].Shape == nil { // the first record of a shadow table, before it was known as one
			skipped++
			continue
		}
		c := api.Change{Op: opOf(op), Table: tx.touched[i].Shape.Table(), Index: len(all) + skipped}
		require.NoError(tb, tx.touched[i].Shape.Decode(record, &c))
		all = append(all, c)
	}
	require.Equal(tb, counts, tx.counts, "the summary counts what there is")
	return all
}

func opOf(op capture.Op) api.Op {
	return [...]api.Op{"", api.OpInsert, api.OpUpdate, api.OpDelete, api.OpTruncate, api.OpSchema}[op]
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
