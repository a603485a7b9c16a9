package boot_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// execute runs the process app:main of an app and returns what it has printed, line by line.
func execute(t *testing.T, f *fixture) []string {
	t.Helper()
	exit, err := f.app(t).Execute(t.Context(), id("main"), nil)
	require.NoError(t, err)
	require.NoError(t, exit.Err)
	return strings.Split(strings.TrimSuffix(f.stdout.String(), "\n"), "\n")
}

func TestScriptsHaveTheModulesAndLibrariesTheyList(t *testing.T) {
	require.Equal(t, []string{
		`{"n":1}`, "hello from the library", "false", "true", "2",
	}, execute(t, write(t, `namespace: app
entries:
  - name: main
    kind: process.lua
    source: file://lua/main.lua
    modules: [json, io, time, logger]
    imports: {greeting: lib}
  - {name: lib, kind: library.lua, source: file://lua/lib.lua}
-- lua/lib.lua --
return {text = "hello from the library"}
-- lua/main.lua --
local io = require("io")
function main()
  io.print(require("json").encode({n = 1}))
  io.print(require("greeting").text)
  local allowed = pcall(require, "sql")
  io.print(allowed)
  io.print(require("time").now() ~= nil)
  local ch = channel.new(1)
  coroutine.spawn(function() ch:send(2) end)
  io.print((ch:receive()))
  require("logger").info("done", {by = "test"})
end
`)))
}

func TestEnvironmentReachesEntries(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: file, kind: env.variable, variable: DB_FILE, default: default.db}
  - {name: db, kind: db.sql.sqlite, file: "data/${env:file}", busy_timeout: "${env:BUSY|1s}"}
  - name: main
    kind: process.lua
    modules: [sql, io]
    lifecycle: {requires: [db]}
    source: |
      function main()
        local rows = assert(require("sql").get("app:db"):query("PRAGMA busy_timeout"))
        require("io").print(rows[1].timeout)
      end
`)
	require.Equal(t, []string{"1000"}, execute(t, f))
	require.FileExists(t, f.settings.Dir+"/data/default.db")

	f.settings.LookupEnv = func(name string) (string, bool) {
		return map[string]string{"DB_FILE": "given.db", "BUSY": "3s"}[name], true
	}
	require.Equal(t, []string{"1000", "3000"}, execute(t, f))
	require.FileExists(t, f.settings.Dir+"/data/given.db")
}

// sources lists all sources and their states.
const sources = `
      function main()
        local cdc, io = require("cdc"), require("io")
        for _, s in ipairs(assert(cdc.list_sources())) do
          io.print(s.id, s.kind, s.state, s.error and tostring(s.error) or "-")
        end
      end
`

func TestSourcesAreKnownWhetherTheyRunOrNot(t *testing.T) {
	lines := execute(t, write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - {name: idle.db, kind: db.sql.sqlite, file: idle.db}
  - {name: a, kind: db.cdc.sqlite, db_resource: db, lifecycle: {auto_start: true}}
  - {name: b, kind: db.cdc.sqlite, db_resource: db, tables: [t], lifecycle: {auto_start: true}}
  - {name: c, kind: db.cdc.sqlite, db_resource: idle.db}
  - {name: pg, kind: db.cdc.postgres, host: h, database: d, slot_name: s, tables: [t]}
  - name: main
    kind: process.lua
    modules: [cdc, io]
    source: |`+sources))
	require.Len(t, lines, 4)
	require.Equal(t, "app:a\tdb.cdc.sqlite\trunning\t-", lines[0])
	require.Equal(t, "app:b\tdb.cdc.sqlite\trunning\t-", lines[1])
	require.Regexp(t, "^app:c\tdb.cdc.sqlite\t(unknown|stopped)\t-$", lines[2])
	require.Regexp(t, "^app:pg\tdb.cdc.postgres\t(unknown|stopped)\t-$", lines[3])
}

func TestSubscribingToWhatDoesNotRun(t *testing.T) {
	require.Equal(t, []string{
		"app:nobody\tnil\tNOT_FOUND", "app:idle\tUNAVAILABLE", "app:pg\tUNAVAILABLE", "app:db\tnil\tNOT_FOUND",
	}, execute(t, write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - {name: idle, kind: db.cdc.sqlite, db_resource: db}
  - {name: pg, kind: db.cdc.postgres, host: h, database: d, slot_name: s, tables: [t]}
  - name: main
    kind: process.lua
    modules: [cdc, io]
    source: |
      function main()
        local cdc, io = require("cdc"), require("io")
        for _, id in ipairs({"app:nobody", "app:idle", "app:pg", "app:db"}) do
          local stream, err = cdc.stream(id)
          if not stream then
            io.print(id, stream, err:kind())
          else
            local channel, err = stream:channel()
            io.print(id, err:kind())
          end
        end
      end
`)))
}

func TestSeveralSourcesAndStreamsOnOneDatabase(t *testing.T) {
	require.Equal(t, []string{"all insert a 1", "all insert b 2", "only.b insert b 2", "again insert a 1", "again insert b 2"}, execute(t, write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: ":memory:"}
  - {name: all, kind: db.cdc.sqlite, db_resource: db, lifecycle: {auto_start: true}}
  - {name: only.b, kind: db.cdc.sqlite, db_resource: db, tables: [b], lifecycle: {auto_start: true}}
  - name: main
    kind: process.lua
    source: file://main.lua
    modules: [cdc, sql, io]
-- main.lua --
local cdc, sql, io = require("cdc"), require("sql"), require("io")
function main()
  local db = assert(sql.get("app:db"))
  assert(db:execute("CREATE TABLE a (n)"))
  assert(db:execute("CREATE TABLE b (n)"))
  local all = assert(assert(cdc.stream("app:all")):channel())
  local only = assert(assert(cdc.stream("app:only.b")):channel())
  local again = assert(assert(cdc.stream("app:all")):channel())
  assert(db:execute("INSERT INTO a VALUES (1)"))
  assert(db:execute("INSERT INTO b VALUES (2)"))
  local function show(name, channel, count)
    for _ = 1, count do
      local change = channel:receive()
      io.write(name, " ", change.op, " ", change.table, " ", change.after.n, "\n")
    end
  end
  show("all", all, 2)
  show("only.b", only, 1)
  show("again", again, 2)
end
`)))
}

func TestProcessesEndBeforeWhatTheyUse(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - name: service
    kind: process.service
    process: worker
    host: host
    lifecycle: {auto_start: true, requires: [db]}
  - {name: host, kind: terminal.host}
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - name: worker
    kind: process.lua
    modules: [sql, io]
    source: |
      function main()
        local db, io, events = assert(require("sql").get("app:db")), require("io"), process.events()
        io.print("up")
        io.print(events:receive().kind, db:query("SELECT 1 AS one")[1].one)
      end
`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	app, ended := f.app(t), make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	f.stdout.wait(t, "up\n")
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, "up\npid.cancel\t1\n", f.stdout.String())
}
