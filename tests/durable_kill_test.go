package tests_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// audited is an app whose writer does a bit of everything. Each of its transactions notes its number and how many other rows it
// has written.
const audited = `
-- app.yaml --
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: load.db, synchronous: %s, capture_memory: 1MiB, foreign_keys: true, allow: [checkpoint, settings]}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, durable: true, retention: {max_bytes: 64MiB}}
  - {name: terminal, kind: terminal.host}
  - {name: writer, kind: process.lua, source: file://writer.lua, modules: [sql, io]}
  - name: service
    kind: process.service
    process: writer
    host: terminal
    lifecycle: {auto_start: true, requires: [cdc]}
-- writer.lua --
local io = require("io")
local db, n, names

local function ledger(tx, k)
  n = n + 1
  return tx:execute("INSERT INTO ledger VALUES (?, ?)", { n, k })
end

local function rows(tx, k, size)
  assert(tx:execute([[WITH i (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM i WHERE v < ?)
    INSERT INTO rows SELECT NULL, hex(zeroblob(?)) FROM i]], { k, size }))
end

local function transact(f)
  local tx = assert(db:begin())
  f(tx)
  assert(tx:commit())
end

local steps = {
  function() ledger(db, 0) end,
  function() ledger(db, 0) end,
  function() transact(function(tx) rows(tx, 2, 10); ledger(tx, 2) end) end,
  function() transact(function(tx) ledger(tx, 700); rows(tx, 700, 40) end) end,
  function() if math.random() < 0.1 then transact(function(tx) rows(tx, 9000, 100); ledger(tx, 9000) end) end end,
  function() -- undone in part
    transact(function(tx)
      assert(tx:execute("SAVEPOINT s"))
      rows(tx, 50, 10)
      assert(tx:execute("ROLLBACK TO s"))
      rows(tx, 1, 10)
      ledger(tx, 1)
    end)
  end,
  function() -- undone
    local tx = assert(db:begin())
    rows(tx, 30, 10)
    ledger(tx, 30)
    assert(tx:rollback())
  end,
  function() -- a deferred constraint makes the commit fail
    local tx = assert(db:begin())
    ledger(tx, 1)
    assert(tx:execute("INSERT INTO children VALUES (1)"))
    local _, err = tx:commit()
    assert(err)
    tx:rollback()
  end,
  function() assert(db:execute("INSERT INTO ledger SELECT n, k FROM ledger WHERE n < 0")) end,
  function() assert(db:execute("UPDATE other SET v = v")) end,
  function() assert(db:query("INSERT INTO ledger VALUES (?, 0) RETURNING n", { n + 1 })); n = n + 1 end,
  function() names = names + 1; assert(db:execute("CREATE TABLE t" .. names .. " (a, b)")) end,
  function()
    local t = "t" .. math.random(names)
    transact(function(tx) assert(tx:execute("INSERT INTO " .. t .. " (a) VALUES (1)")); ledger(tx, 1) end)
  end,
  function() assert(db:execute("ALTER TABLE t" .. math.random(names) .. " ADD COLUMN c" .. n .. " DEFAULT 7")) end,
  function() if math.random() < 0.2 then assert(db:execute("VACUUM")) end end,
  function() db:query("PRAGMA wal_checkpoint(" .. ({ "PASSIVE", "FULL", "RESTART", "TRUNCATE" })[math.random(4)] .. ")") end,
}

function main()
  db = assert(require("sql").get("app:db"))
  n = assert(db:query("SELECT coalesce(max(n), 0) AS n FROM ledger"))[1].n
  names = assert(db:query("SELECT count(*) AS n FROM sqlite_schema WHERE name GLOB 't[0-9]*'"))[1].n
  if names == 0 then assert(db:execute("CREATE TABLE t1 (a, b)")); names = 1 end
  n = n + 1000 -- what a crash has undone is not used again
  io.print("open")
  while true do steps[math.random(#steps)]() end
end
`

// audit is a second account of a database whose writer is killed: what its log says, against what it holds.
type audit struct {
	t    *testing.T
	file string
	// after is how far the log was read, told what the numbers of the ledger were up to there.
	after api.Position
	told  int64
	// transactions counts those that were compared, gaps the gaps by cause, missing what was missing in them.
	transactions, missing int
	gaps                  map[api.GapCause]int
}

var auditDB, auditCDC = registry.ID{Namespace: "app", Name: "db"}, registry.ID{Namespace: "app", Name: "cdc"}

// look opens the database that no process has open any more, and compares what is new in its log with what is new in it.
func (a *audit) look() {
	t := a.t
	cfg := new(sqlapi.SQLiteConfig)
	cfg.SetDefaults()
	cfg.File, cfg.CaptureMemory = a.file, unit.MiB
	db, err := sqlite.Open(t.Context(), auditDB, cfg, "", sqlite.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var sound string
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)

	directory, catalog := resource.New(), source.NewCatalog()
	defer directory.Publish(auditDB, db)()
	config := new(api.SQLiteConfig)
	config.SetDefaults()
	config.DBResource, config.Durable, config.Retention.MaxBytes = auditDB, true, 64*unit.MiB
	engine := cdcsqlite.New(auditCDC, config, directory)
	catalog.Declare(engine)
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- source.New(engine, catalog, slog.New(slog.DiscardHandler)).Serve(ctx, func() { close(ready) })
	}()
	defer func() {
		cancel()
		require.NoError(t, <-ended)
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
	}
	a.compare(db, catalog)
}

// compare reads the log up to its end, or the last gap.
func (a *audit) compare(db *sqlite.DB, catalog *source.Catalog) {
	t := a.t
	want := ledger(t, db.Pool(), a.told)
	for {
		s, err := catalog.Subscribe(t.Context(), auditCDC, api.StreamOptions{Start: api.After(a.after)})
		var gap *api.GapError
		if err == nil {
			want, err = a.read(s, want)
			s.Close()
		}
		if err == nil {
			require.Empty(t, want, "committed, and not in the log")
			return
		}
		require.ErrorAs(t, err, &gap)
		a.gaps[gap.Cause]++
		a.after = gap.Before
		// One transaction at most is missing in a gap that a crash leaves.
		rest := a.behind(catalog)
		require.LessOrEqual(t, len(rest), len(want), "in the log, and not committed")
		missing := want[:len(want)-len(rest)]
		require.LessOrEqual(t, len(missing), 1, "missing in a gap")
		if a.missing += len(missing); len(missing) > 0 {
			a.told = missing[0].n
		}
		want = want[len(missing):]
	}
}

// behind returns the numbers that the log has behind the position, gaps left out.
func (a *audit) behind(catalog *source.Catalog) (numbers []int64) {
	after := a.after
	for {
		s, err := catalog.Subscribe(a.t.Context(), auditCDC, api.StreamOptions{Start: api.After(after), Tables: []string{"ledger"}})
		for err == nil {
			var c *api.Change
			if c, err = next(s); c == nil && err == nil {
				s.Close()
				return numbers
			} else if err == nil {
				numbers = append(numbers, c.After[0].Int64())
			}
		}
		if s != nil {
			s.Close()
		}
		gap, ok := errors.AsType[*api.GapError](err)
		require.True(a.t, ok, "%v", err)
		after = gap.Before
	}
}

// next returns the next change, nil if the stream has read everything.
func next(s api.Stream) (*api.Change, error) {
	for {
		c, err := s.Poll()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-s.Ready(): // it has looked at many changes that it does not deliver, and goes on
		default:
			return nil, nil
		}
	}
}

// entry is a row of the ledger.
type entry struct{ n, others int64 }

// read compares transactions with the ledger, and returns what of it is left.
func (a *audit) read(s api.Stream, want []entry) ([]entry, error) {
	var noted *entry
	others := int64(0)
	for {
		c, err := next(s)
		if c == nil || err != nil {
			return want, err
		}
		switch {
		case c.Table.Name == "ledger":
			require.Nil(a.t, noted)
			noted = &entry{c.After[0].Int64(), c.After[1].Int64()}
		case c.Op == api.OpInsert:
			others++
		}
		a.after = c.Position()
		if !c.Last {
			continue
		}
		if noted != nil {
			require.NotEmpty(a.t, want, "%d is in the log, and was not committed", noted.n)
			require.Equal(a.t, want[0], *noted)
			require.Equal(a.t, want[0].others, others, "the rows of %d", noted.n)
			a.told = noted.n
			want = want[1:]
			a.transactions++
		}
		noted, others = nil, 0
	}
}

func ledger(t *testing.T, db *sql.DB, after int64) (all []entry) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT n, k FROM ledger WHERE n > ? ORDER BY n", after)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var e entry
		require.NoError(t, rows.Scan(&e.n, &e.others))
		all = append(all, e)
	}
	require.NoError(t, rows.Err())
	return all
}

// TestKillOfADurableSource kills the program in the middle of everything that a writer does. What its log says was committed is
// what the database holds, or there is a gap in the place of what is not known.
func TestKillOfADurableSource(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const killsPerDatabase = 40
	total := audit{gaps: map[api.GapCause]int{}}
	for left := kills(t); left > 0; left -= killsPerDatabase {
		synchronous := []string{"off", "normal", "full"}[random.IntN(3)]
		dir := unpack(t, fmt.Sprintf(audited, synchronous))
		a := &audit{t: t, file: filepath.Join(dir, "load.db"), gaps: total.gaps}
		makeLedger(t, a.file)
		for i := range min(left, killsPerDatabase) {
			r := launch(t, dir, "run", "-s")
			r.prints(t, r.stdout, "open\n")
			time.Sleep(time.Duration(random.IntN(int(60 * time.Millisecond)))) //nolint:forbidigo // anywhere in what the writer does
			r.signal(t, syscall.SIGKILL)
			r.exit()
			if i == 0 {
				state, err := os.ReadDir(a.file + "-cdc")
				require.NoError(t, err)
				require.NotEmpty(t, state)
			}
			if random.IntN(3) > 0 || i == min(left, killsPerDatabase)-1 { // else the program finds out itself
				a.look()
			}
		}
		total.transactions += a.transactions
		total.missing += a.missing
	}
	t.Logf("%d kills, %d transactions compared, gaps %v, %d transactions missing in them", kills(t), total.transactions, total.gaps, total.missing)
}

func makeLedger(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), strings.Join([]string{
		"PRAGMA journal_mode = wal", "CREATE TABLE ledger (n INTEGER PRIMARY KEY, k)", "CREATE TABLE rows (id INTEGER PRIMARY KEY, text)",
		"CREATE TABLE other (v)", "INSERT INTO other VALUES (1), (2)", "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE children (parent REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
	}, ";"))
	require.NoError(t, err)
	require.NoError(t, db.Close())
}
