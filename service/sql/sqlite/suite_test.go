package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// counts is what the suite has tried since the program started.
var counts struct{ scripts, statements, failed, transactions atomic.Int64 }

// A script runs on three databases: one that is captured, one of the bare driver, and one that only replays what was
// captured. The first two must behave alike in every respect, and the third must equal them after every commit.
func TestGeneratedScripts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, checkScript)
}

// The same with a durable log, which must show as little, and hold what the sink was given.
func TestGeneratedScriptsWithADurableLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) { checkScriptOn(t, dir) })
}

func checkScript(t *rapid.T) { checkScriptOn(t, "") }

// checkScriptOn runs a script on a database in memory, or with a durable log on one in a directory.
func checkScriptOn(t *rapid.T, dir string) {
	script := drawScript(t)
	defer func() {
		if t.Failed() {
			t.Logf("the script:\n%s", asSQL(script))
		}
	}()
	if dir == "" {
		runScript(t, script, "")
		return
	}
	own, err := os.MkdirTemp(dir, "")
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(own)) }()
	runScript(t, script, own)
}

// check is what a script runs under: a rapid.T, or a test of its own.
type check interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
}

func runScript(c check, script []step, dir string) {
	counts.scripts.Add(1)
	tr := &trial{tb: tb{check: c}, prepared: map[string][2]*sql.Stmt{}, dir: dir}
	tr.open()
	defer tr.close()
	for i, s := range script {
		counts.statements.Add(1)
		if tr.dangling && strings.Contains(s.sql, "BEGIN") {
			// SQLite forgets the savepoint of a statement that is not reset when a transaction begins, and then undoes
			// one statement with another.
			tr.unprepare(0)
			tr.unprepare(1)
		}
		if s.how == "idle" { // SQLite has its temp schema open with capture, and does not close it beside what is not reset
			tr.unprepare(0)
			tr.unprepare(1)
			if !tr.idle() {
				continue
			}
		}
		captured, plain := tr.do(0, s), tr.do(1, s)
		if tr.indexing = tr.indexing || strings.Contains(s.sql, "words") || strings.Contains(s.sql, "TABLE notes"); tr.indexing {
			captured.forgetCounters()
			plain.forgetCounters()
		}
		if captured.err != "" {
			counts.failed.Add(1)
		}
		if captured != plain {
			c.Fatalf("step %d, %s:\nwith capture:    %+v\nwithout capture: %+v", i+1, s, captured, plain)
		}
		tr.compare(fmt.Sprintf("after step %d, %s", i+1, s))
	}
	for _, s := range []step{{"unprepare", ""}, {"exec", "ROLLBACK"}} {
		tr.do(0, s)
		tr.do(1, s)
	}
	tr.compare("at the end")
}

// tb makes a check pass for a testing.TB, as far as the helpers of this package go.
type tb struct {
	testing.TB
	check check
}

func (t tb) Context() context.Context          { return t.check.Context() }
func (t tb) Name() string                      { return "script" }
func (t tb) Helper()                           { t.check.Helper() }
func (t tb) Errorf(format string, args ...any) { t.check.Errorf(format, args...) }
func (t tb) FailNow()                          { t.check.FailNow() }
func (t tb) Cleanup(func())                    {} // trial.close does it

// trial is the run of one script.
type trial struct {
	tb       tb
	db       *sqlite.DB
	bare     *sql.DB
	conns    [2]*sql.Conn // captured, bare
	sink     *recording
	detach   func()
	replica  *replica
	prepared map[string][2]*sql.Stmt
	// dangling means that a prepared RETURNING statement was run by Exec, which leaves its transaction open until the
	// statement is used again or closed.
	dangling bool
	// indexing means that the open transaction has written to a full-text index. FTS3 then runs a statement of its own
	// when a savepoint begins, which shows in changes() and last_insert_rowid(). With a preupdate hook, DELETE without
	// WHERE deletes row by row and begins a savepoint where it would truncate without one.
	indexing bool
	// totals are those of total_changes() that the growth is counted from.
	totals [2]int64
	// dir is where the database is, "" if it is in memory; log then reads its durable log.
	dir string
	log *sqlite.LogCursor
}

func (tr *trial) open() {
	cfg := &sqlapi.SQLiteConfig{File: sqlapi.InMemory, ForeignKeys: true}
	if tr.dir != "" {
		cfg.File = filepath.Join(tr.dir, "script.db")
	}
	tr.db = openConfig(tr.tb, cfg)
	var err error
	tr.bare, err = sql.Open("sqlite3", ":memory:?_foreign_keys=1")
	require.NoError(tr.tb, err)
	tr.replica = newReplica(tr.tb)
	tr.sink = &recording{}
	schema := suiteSchema + witnessSchema() + "PRAGMA recursive_triggers = ON;"
	mustExec(tr.tb, tr.db.Pool(), schema)
	if tr.dir != "" {
		settings := sqlite.LogSettings{Source: "app:cdc", Generation: "a", MaxBytes: 1 << 30, MaxAge: time.Hour}
		require.NoError(tr.tb, tr.db.KeepLog(tr.tb.Context(), settings, 0))
		tr.log, err = tr.db.ReadLog(tr.db.LogState().Newest)
		require.NoError(tr.tb, err)
	}
	tr.detach, err = tr.db.Attach(tr.tb.Context(), tr.sink)
	require.NoError(tr.tb, err)
	for i, pool := range []*sql.DB{tr.db.Pool(), tr.bare} {
		tr.conns[i], err = pool.Conn(tr.tb.Context())
		require.NoError(tr.tb, err)
	}
	mustExec(tr.tb, tr.conns[1], schema)
	tr.countFromNow()
}

func (tr *trial) countFromNow() {
	for i, c := range tr.conns {
		require.NoError(tr.tb, c.QueryRowContext(tr.tb.Context(), "SELECT total_changes()").Scan(&tr.totals[i]))
	}
}

func (tr *trial) close() {
	for _, c := range tr.conns {
		require.NoError(tr.tb, c.Close())
	}
	tr.detach()
	if tr.log != nil {
		tr.log.Close()
	}
	require.NoError(tr.tb, tr.db.Close())
	require.NoError(tr.tb, tr.bare.Close())
	require.NoError(tr.tb, tr.replica.db.Close())
}

// outcome is all that a program can see of a step.
type outcome struct {
	err                string
	code               sqlite3.ErrNoExtended
	rows               string
	affected, lastID   int64
	changes, lastRowID int64
	// total is how much total_changes() has grown since the beginning of the script.
	total     int64
	statusErr string
}

func (tr *trial) do(which int, s step) outcome {
	var o outcome
	var err error
	c := tr.conns[which]
	switch s.how {
	case "query", "abandon":
		o.rows, err = readRows(tr.tb, c, s)
	case "prepared":
		err = tr.doPrepared(which, s, &o)
	case "unprepare":
		tr.unprepare(which)
	default:
		var result sql.Result
		if result, err = c.ExecContext(tr.tb.Context(), s.sql); err == nil {
			o.note(result)
		}
	}
	if err != nil {
		o.err = err.Error()
	}
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		o.code = e.ExtendedCode
	}
	row := c.QueryRowContext(tr.tb.Context(), "SELECT changes(), last_insert_rowid(), total_changes()")
	if err := row.Scan(&o.changes, &o.lastRowID, &o.total); err != nil {
		o.statusErr = err.Error()
	}
	o.total -= tr.totals[which]
	return o
}

func (o *outcome) forgetCounters() {
	o.affected, o.lastID, o.changes, o.lastRowID, o.total = 0, 0, 0, 0, 0
}

func (o *outcome) note(result sql.Result) {
	o.affected, _ = result.RowsAffected()
	o.lastID, _ = result.LastInsertId()
}

func (tr *trial) doPrepared(which int, s step, o *outcome) error {
	pair := tr.prepared[s.sql]
	if pair[which] == nil {
		statement, err := tr.conns[which].PrepareContext(tr.tb.Context(), s.sql)
		if err != nil {
			return err
		}
		pair[which] = statement
		tr.prepared[s.sql] = pair
	}
	tr.dangling = tr.dangling || strings.Contains(s.sql, "RETURNING")
	result, err := pair[which].ExecContext(tr.tb.Context())
	if err == nil {
		o.note(result)
	}
	return err
}

// unprepare closes the prepared statements of one database, in the order in which those of the other are closed.
func (tr *trial) unprepare(which int) {
	for _, text := range slices.Sorted(maps.Keys(tr.prepared)) {
		if pair := tr.prepared[text]; pair[which] != nil {
			_ = pair[which].Close() // repeats the error of the last execution
			pair[which] = nil
			tr.prepared[text] = pair
		}
	}
	tr.dangling = false
}

func readRows(t tb, c *sql.Conn, s step) (text string, err error) {
	rows, err := c.QueryContext(t.Context(), s.sql)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for rows.Next() {
		var v any
		if err := rows.Scan(&v); err != nil {
			break
		}
		fmt.Fprintf(&b, "%T %v, ", v, v)
		if s.how == "abandon" {
			break
		}
	}
	err = rows.Err()
	if closeErr := rows.Close(); err == nil {
		err = closeErr
	}
	return b.String(), err
}

// compare replays what was captured and, unless a transaction is open, compares all three databases.
func (tr *trial) compare(when string) {
	for _, tx := range tr.logged(tr.sink.take(tr.tb)) {
		counts.transactions.Add(1)
		bearWitness(tr.tb, changes(tr.tb, tx), when)
		tr.replica.apply(tx)
	}
	if tr.dangling || !tr.idle() {
		return
	}
	if tr.indexing {
		tr.indexing = false
		tr.countFromNow()
	}
	want := contents(tr.tb, tr.conns[1])
	require.Equal(tr.tb, want, contents(tr.tb, tr.conns[0]), "%s: the captured database differs from the bare one", when)
	require.Equal(tr.tb, nonEmpty(want), nonEmpty(tr.replica.contents()), "%s: the replica differs", when)
}

// logged returns what the durable log has of these transactions, if there is one: the same.
func (tr *trial) logged(taken []*transaction) []*transaction {
	if tr.log == nil {
		return taken
	}
	kept := &recording{}
	for {
		tx, err := tr.log.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(tr.tb, err)
		require.Empty(tr.tb, tx.Gap)
		if len(tx.Records) > 0 || tx.Spilled != nil {
			kept.Committed(&tx.Commit)
		}
		tx.Spilled.Release()
	}
	require.Len(tr.tb, kept.transactions, len(taken), "transactions in the log")
	for i, tx := range taken {
		require.Equal(tr.tb, tx.records, kept.transactions[i].records, "what the log has")
	}
	return kept.transactions
}

// idle reports whether the scripts have no transaction open.
func (tr *trial) idle() (idle bool) {
	require.NoError(tr.tb, tr.conns[1].Raw(func(dc any) error {
		idle = dc.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	}))
	return idle
}

func nonEmpty(tables map[string][]string) map[string][]string {
	all := map[string][]string{}
	for name, rows := range tables {
		if len(rows) > 0 {
			all[name] = rows
		}
	}
	return all
}

func openConfig(t tb, cfg *sqlapi.SQLiteConfig) *sqlite.DB {
	keys := cfg.ForeignKeys
	file := cfg.File
	cfg.SetDefaults()
	cfg.ForeignKeys, cfg.File = keys, file
	cfg.Allow = []string{sqlapi.AllowSchema} // the driver alone refuses nothing
	db, err := sqlite.Open(t.Context(), idOf("db"), cfg, ".")
	require.NoError(t, err)
	return db
}
