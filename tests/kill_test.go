package tests_test

import (
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// loaded is an app under load. Its entry asks for a snapshot, which its streams get once and not again.
const loaded = `
-- app.yaml --
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: load.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, tables: [rows], snapshot: true, status_interval: 100ms}
  - {name: terminal, kind: terminal.host}
  - {name: reader, kind: process.lua, source: file://reader.lua, modules: [cdc, io]}
  - {name: writer, kind: process.lua, source: file://writer.lua, modules: [sql]}
  - name: service
    kind: process.service
    process: reader
    host: terminal
    lifecycle: {auto_start: true, requires: [cdc]}
-- writer.lua --
function main()
  local db = assert(require("sql").get("app:db"))
  local n = assert(db:query("SELECT max(n) AS n FROM rows"))[1].n
  while true do
    local tx = assert(db:begin())
    for i = 1, 3 do
      n = n + 1
      assert(tx:execute("INSERT INTO rows VALUES (?, ?)", { n, ("x"):rep(100) }))
    end
    assert(tx:commit())
  end
end
-- reader.lua --
local cdc, io = require("cdc"), require("io")
function main()
  local changes = assert(assert(cdc.stream("app:cdc")):channel())
  assert(process.spawn("app:writer", "app:terminal"))
  io.print("open")
  while true do
    local change = changes:receive()
    if errors.is(change) then error(change) end
    io.print(change.op, change.lsn, change.after.n)
  end
end
`

// kills is how often the program is killed: WIPPY_KILLS, for instance 100.
func kills(t *testing.T) int {
	t.Helper()
	given := os.Getenv("WIPPY_KILLS")
	if given == "" {
		return 4
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err)
	return n
}

// checkpoint is a row of wippy_cdc_offsets.
type checkpoint struct {
	sequence     int64
	bootstrapped bool
}

// prepare makes a database with rows that come with the snapshot.
func prepare(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), `CREATE TABLE rows (n INTEGER PRIMARY KEY, text TEXT);
		WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
		INSERT INTO rows SELECT n, 'before' FROM numbers`)
	require.NoError(t, err)
}

// lookAt reads the checkpoint and the highest row of a database that no process has open, which must be sound.
func lookAt(t *testing.T, file string) (c checkpoint, highest int64) {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var sound string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT max(n) FROM rows").Scan(&highest))
	var tables int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name = 'wippy_cdc_offsets'").Scan(&tables))
	if tables == 0 {
		return c, highest
	}
	err = db.QueryRowContext(t.Context(), "SELECT last_seq, snapshot_done FROM wippy_cdc_offsets WHERE source = 'app:cdc'").Scan(&c.sequence, &c.bootstrapped)
	if err != sql.ErrNoRows { //nolint:errorlint // it is returned as it is
		require.NoError(t, err)
	}
	return c, highest
}

// delivered is what a reader has printed.
type delivered struct {
	snapshots, live []int64 // the numbers of the rows
	first, last     int64   // the sequence of the first and the last live change
}

func read(t *testing.T, printed string) (d delivered) {
	t.Helper()
	for line := range strings.Lines(printed) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(words) != 3 || !strings.HasSuffix(line, "\n") {
			continue // "open", or a line that was cut by the kill
		}
		n, err := strconv.ParseInt(words[2], 10, 64)
		require.NoError(t, err)
		if words[0] == "snapshot" {
			require.Empty(t, d.live, "a snapshot comes first")
			d.snapshots = append(d.snapshots, n)
			continue
		}
		d.last, err = strconv.ParseInt(words[1], 10, 64)
		require.NoError(t, err)
		if d.live = append(d.live, n); len(d.live) == 1 {
			d.first = d.last
		}
	}
	return d
}

// TestKill kills the program under load, again and again. After each restart the database is sound, nothing was
// delivered that is not in it, numbers go on where no stream has seen them yet, and the snapshot is there until it was
// delivered in full, and never again.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := unpack(t, loaded)
	prepare(t, filepath.Join(dir, "load.db"))

	var before checkpoint
	var seen int64 // the highest sequence that was ever delivered
	bootstraps, rows := 0, 10000
	for range kills(t) {
		r := launch(t, dir, "run", "-s")
		r.prints(t, r.stdout, "open\n")
		// Somewhere within the snapshot or what comes after it.
		r.printsLines(t, random.IntN(2*rows))
		r.signal(t, syscall.SIGKILL)
		r.exit()

		now, highest := lookAt(t, filepath.Join(dir, "load.db"))
		got := read(t, r.stdout.String())
		require.GreaterOrEqual(t, now.sequence, before.sequence, "the checkpoint goes back")
		require.False(t, before.bootstrapped && !now.bootstrapped, "the bootstrap is forgotten")
		if before.bootstrapped {
			require.Empty(t, got.snapshots, "a bootstrap is done once")
		} else if len(got.live) > 0 {
			require.NotEmpty(t, got.snapshots, "there was no bootstrap yet")
		}
		contiguous(t, got.snapshots)
		contiguous(t, got.live)
		if len(got.snapshots) > 0 {
			bootstraps++
			require.EqualValues(t, 1, got.snapshots[0])
		}
		if len(got.live) > 0 {
			require.Greater(t, got.first, seen, "a number is used again")
			require.GreaterOrEqual(t, highest, got.live[len(got.live)-1], "delivered, but not committed")
			seen = got.last
		}
		if len(got.snapshots) > 0 && len(got.live) > 0 {
			require.Equal(t, got.snapshots[len(got.snapshots)-1]+1, got.live[0], "a gap behind the snapshot")
		}
		before, rows = now, int(highest)
		if now.bootstrapped {
			rows = 10000 // no snapshot any more, some changes will do
		}
	}
	t.Logf("%d kills, %d bootstraps, last sequence %d, checkpoint %+v", kills(t), bootstraps, seen, before)
}

func contiguous(t *testing.T, numbers []int64) {
	t.Helper()
	for i := 1; i < len(numbers); i++ {
		require.Equal(t, numbers[i-1]+1, numbers[i])
	}
}

// printsLines waits until the program has written as many lines, or for a few seconds.
func (r *running) printsLines(t *testing.T, count int) {
	t.Helper()
	limit := time.After(5 * time.Second)
	for {
		written, changed := r.stdout.peek()
		if strings.Count(written, "\n") > count {
			return
		}
		select {
		case <-changed:
		case <-limit:
			return
		case <-r.ended:
			require.Fail(t, "the program has ended", "%v\n%s", r.err, r.stderr)
		}
	}
}
