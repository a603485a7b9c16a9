package boot_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
)

// pipeline is an app in which one process writes and another reads the changes.
const pipeline = `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: data/app.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db}
  - {name: terminal, kind: terminal.host}
  - {name: writer, kind: process.lua, source: file://writer.lua, modules: [sql, cdc, io]}
  - name: service
    kind: process.service
    process: writer
    host: terminal
    input: [3]
    lifecycle: {auto_start: true, requires: [cdc]}
-- writer.lua --
local sql, cdc, io = require("sql"), require("cdc"), require("io")
function main(count)
  local db = assert(sql.get("app:db"))
  assert(db:execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
  local stream = assert(cdc.stream("app:cdc"))
  local changes = assert(stream:channel())
  for n = 1, count do assert(db:execute("INSERT INTO t VALUES (?)", {n})) end
  for _ = 1, count do
    local change = changes:receive()
    io.print(change.op, change.table, change.after.n)
  end
end
`

func TestRunEndsWhenItsProcessesHaveCompleted(t *testing.T) {
	f := write(t, pipeline)
	require.NoError(t, f.app(t).Run(t.Context()))
	require.Equal(t, "insert\tt\t1\ninsert\tt\t2\ninsert\tt\t3\n", f.stdout.String())
	require.FileExists(t, filepath.Join(f.settings.Dir, "data", "app.db"))
	require.NotContains(t, f.log.String(), "level=ERROR")
	f.log.unwarned(t)
}

func TestRunStopsInOrderWhenToldTo(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: ":memory:"}
  - {name: terminal, kind: terminal.host}
  - name: waiter
    kind: process.lua
    modules: [io]
    source: |
      local io = require("io")
      function main()
        local events = process.events()
        io.print("up")
        io.print(events:receive().kind)
      end
  - name: service
    kind: process.service
    process: waiter
    host: terminal
    lifecycle: {auto_start: true, requires: [db]}
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	app, ended := f.app(t), make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	f.stdout.wait(t, "up\n")
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, "up\npid.cancel\n", f.stdout.String())
	var stopped []string
	for line := range strings.Lines(f.log.String()) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), `msg="service has stopped" service=`); ok {
			stopped = append(stopped, name)
		}
	}
	require.Equal(t, []string{"app:service", "app:terminal", "app:db"}, stopped)
}

func TestRunFailsWhenAProcessHasFailedForGood(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: host, kind: process.host}
  - {name: bad, kind: process.lua, source: "function main() error('boom') end"}
  - {name: good, kind: process.lua, source: "function main() return 1 end"}
  - name: bad.service
    kind: process.service
    process: bad
    host: host
    lifecycle: {auto_start: true, restart: {max_attempts: 2, initial_delay: 1ms}}
  - {name: good.service, kind: process.service, process: good, host: host, lifecycle: {auto_start: true}}
`)
	err := f.app(t).Run(t.Context())
	require.ErrorContains(t, err, "app:bad.service")
	require.ErrorContains(t, err, "boom")
	require.NotContains(t, err.Error(), "good")
}

func TestRunGoesOnWhileAServiceIsTriedAgain(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - {name: host, kind: process.host}
  - name: third.time
    kind: process.lua
    modules: [sql]
    source: |
      local sql = require("sql")
      function main()
        local db = assert(sql.get("app:db"))
        assert(db:execute("CREATE TABLE IF NOT EXISTS tries (n)"))
        assert(db:execute("INSERT INTO tries VALUES (1)"))
        if #assert(db:query("SELECT n FROM tries")) < 3 then error("not yet") end
      end
  - name: service
    kind: process.service
    process: third.time
    host: host
    lifecycle: {auto_start: true, requires: [db], restart: {initial_delay: 1ms}}
`)
	require.NoError(t, f.app(t).Run(t.Context()))
	require.Equal(t, 2, strings.Count(f.log.String(), "third.time:6: not yet"), f.log.String())
}

func TestNothingCanBeStarted(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: ., lifecycle: {auto_start: true}}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, lifecycle: {auto_start: true}}
  - name: pg
    kind: db.cdc.postgres
    host: localhost
    database: d
    password: hunter2
    options: {sslmode: perhaps}
    slot_name: s
    publication: p
    lifecycle: {auto_start: true}
`)
	err := f.app(t).Run(t.Context())
	require.ErrorContains(t, err, "app:db: ")
	require.ErrorContains(t, err, "is a directory")
	require.ErrorContains(t, err, "app:cdc: not started: requires app:db, which failed")
	require.ErrorContains(t, err, "app:pg: cdc: source \"app:pg\": options: ")
	require.NotContains(t, err.Error()+f.log.String(), "hunter2")
}

func TestSomeCannotBeStarted(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: bad, kind: db.sql.sqlite, file: ., lifecycle: {auto_start: true}}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: bad, lifecycle: {auto_start: true}}
  - {name: good, kind: db.sql.sqlite, file: good.db, lifecycle: {auto_start: true}}
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	app, ended := f.app(t), make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	f.log.wait(t, "not started: requires app:bad, which failed")
	cancel()
	require.NoError(t, <-ended, "the rest was running")
	require.FileExists(t, filepath.Join(f.settings.Dir, "good.db"))
}

func TestOnlyWhatIsWantedRuns(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: wanted, kind: db.sql.sqlite, file: wanted.db}
  - {name: idle, kind: db.sql.sqlite, file: idle.db}
  - {name: host, kind: terminal.host}
  - name: look
    kind: process.lua
    modules: [sql, io]
    source: |
      local sql, io = require("sql"), require("io")
      function main()
        for _, id in ipairs({"app:wanted", "app:idle", "app:nobody"}) do
          local db, err = sql.get(id)
          io.print(id, db and "running" or err:kind())
        end
      end
  - name: service
    kind: process.service
    process: look
    host: host
    lifecycle: {auto_start: true, requires: [wanted]}
`)
	require.NoError(t, f.app(t).Run(t.Context()))
	require.Equal(t, "app:wanted\trunning\napp:idle\tUNAVAILABLE\napp:nobody\tNOT_FOUND\n", f.stdout.String())
	require.NoFileExists(t, filepath.Join(f.settings.Dir, "idle.db"))
}

func TestRunWithoutAnythingToStartWaits(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	app, ended := f.app(t), make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	f.log.wait(t, "no entry has lifecycle.auto_start")
	cancel()
	require.NoError(t, <-ended)
}

func TestRunThatIsCancelledBeforeItBegins(t *testing.T) {
	f := write(t, pipeline)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, f.app(t).Run(ctx))
	require.NoDirExists(t, filepath.Join(f.settings.Dir, "data"))
}

func TestStartStopStress(t *testing.T) {
	f := write(t, strings.Replace(pipeline, "CREATE TABLE t", "CREATE TABLE IF NOT EXISTS t", 1))
	for n := range 30 {
		require.NoError(t, os.RemoveAll(filepath.Join(f.settings.Dir, "data")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*time.Millisecond)
		err := f.app(t).Run(ctx)
		cancel()
		require.NoError(t, err)
	}
}

func TestExecuteGivesTheResult(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - name: echo
    kind: process.lua
    modules: [io, sql]
    source: |
      local io, sql = require("io"), require("sql")
      function main(...)
        io.print(...)
        io.print(io.readline(), unpack(io.args()))
        io.print(sql.get("app:db"):type())
        return select("#", ...)
      end
    lifecycle: {requires: [db]}
  - {name: fails, kind: process.lua, source: "function main() error('boom') end"}
`)
	f.settings.Args = []string{"x", "y"}
	exit, err := f.app(t).Execute(t.Context(), id("echo"), []any{"a", "b"})
	require.NoError(t, err)
	require.NoError(t, exit.Err)
	require.EqualValues(t, 2, exit.Value)
	require.Equal(t, "a\tb\ntyped\tx\ty\nsqlite\n", f.stdout.String())

	exit, err = f.app(t).Execute(t.Context(), id("fails"), nil)
	require.NoError(t, err)
	require.ErrorContains(t, exit.Err, "boom")
	require.ErrorContains(t, exit.Err, "stack traceback")
}

func TestExecuteRunsOnTheTerminalOfTheApp(t *testing.T) {
	for name, c := range map[string]struct{ hosts, want string }{
		"its own":  {"", "wippy:terminal#"},
		"the only": {"\n  - {name: term, kind: terminal.host}", "app:term#"},
		"the started": {
			"\n  - {name: a, kind: terminal.host}\n  - {name: b, kind: terminal.host, lifecycle: {auto_start: true}}", "app:b#",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := write(t, `namespace: app
entries:
  - {name: pid, kind: process.lua, source: "function main() return process.pid() end"}`+c.hosts)
			exit, err := f.app(t).Execute(t.Context(), id("pid"), nil)
			require.NoError(t, err)
			require.Contains(t, exit.Value, c.want)
		})
	}
}

func TestTestsMeetOnlyWhatTheyRequire(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db, lifecycle: {auto_start: true}}
  - {name: test.db, kind: db.sql.sqlite, file: ":memory:"}
  - name: look
    kind: process.lua
    modules: [sql, io]
    lifecycle: {requires: [test.db], auto_start: true}
    source: |
      function main()
        for _, id in ipairs({"app:db", "app:test.db"}) do
          require("io").print(id, require("sql").get(id) and "running" or "not running")
        end
        return true
      end
`)
	app := f.app(t)
	for range 2 {
		exit, err := app.Test(t.Context(), id("look"))
		require.NoError(t, err)
		require.Equal(t, true, exit.Value)
	}
	const want = "app:db\tnot running\napp:test.db\trunning\n"
	require.Equal(t, want+want, f.stdout.String())
	require.NoFileExists(t, filepath.Join(f.settings.Dir, "app.db"))
}

func TestExecuteWhatCannotBeRun(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: .}
  - {name: needs, kind: process.lua, source: "function main() end", lifecycle: {requires: [db]}}
`)
	_, err := f.app(t).Execute(t.Context(), id("need"), nil)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, "did you mean app:needs?")

	_, err = f.app(t).Execute(t.Context(), id("db"), nil)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, `"app:db" is a db.sql.sqlite; only a process.lua can be run`)

	_, err = f.app(t).Execute(t.Context(), id("needs"), nil)
	require.ErrorContains(t, err, "not started: requires app:db, which failed")
}

func TestExecuteEndsWithItsContext(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - name: loop
    kind: process.lua
    modules: [io]
    source: |
      local io = require("io")
      function main()
        io.print("up")
        while true do end
      end
`)
	ctx, cancel := context.WithCancelCause(t.Context())
	app, ended := f.app(t), make(chan error, 1)
	go func() {
		_, err := app.Execute(ctx, id("loop"), nil)
		ended <- err
	}()
	f.stdout.wait(t, "up")
	cancel(context.DeadlineExceeded)
	require.ErrorIs(t, <-ended, context.DeadlineExceeded)
}

// A name with a typing error looks like a table that is created later, and a wrong path like a new database.
func TestWhatMayBeMisspeltIsTold(t *testing.T) {
	t.Parallel()
	f := write(t, `
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: deta/app.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, tables: [main.Orders, ordres, users]}
  - {name: make, kind: process.lua, source: file://make.lua, modules: [sql], lifecycle: {requires: [db]}}
  - {name: watch, kind: process.lua, source: "function main() end", lifecycle: {requires: [cdc]}}
-- make.lua --
function main() assert(assert(require("sql").get("app:db")):execute("CREATE TABLE orders (n)")) end
`)
	_, err := f.app(t).Execute(t.Context(), id("make"), nil)
	require.NoError(t, err)
	require.Contains(t, f.log.String(), `level=INFO msg="database file created" file=`+filepath.Join(f.settings.Dir, "deta", "app.db")+" folder_created=true")
	f.log.forget()
	_, err = f.app(t).Execute(t.Context(), id("watch"), nil)
	require.NoError(t, err)
	require.NotContains(t, f.log.String(), "database file created")
	require.Equal(t, 1, strings.Count(f.log.String(), "selected tables do not exist"), f.log)
	require.Contains(t, f.log.String(), `tables="[ordres; did you mean orders? users]"`)
}
