package tests_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// clock prints the changes that it makes itself, one every few milliseconds.
const clock = `
-- app.yaml --
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: one.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db}
  - {name: terminal, kind: terminal.host}
  - {name: clock, kind: process.lua, source: file://clock.lua, modules: [sql, cdc, io, time]}
  - name: service
    kind: process.service
    process: clock
    host: terminal
    input: first
    lifecycle: {auto_start: true, requires: [cdc]}
-- clock.lua --
local sql, cdc, io, time = require("sql"), require("cdc"), require("io"), require("time")
function main(name)
  local db = assert(sql.get("app:db"))
  assert(db:execute("CREATE TABLE IF NOT EXISTS ticks (name TEXT)"))
  local ticks = assert(assert(cdc.stream("app:cdc")):channel())
  while true do
    assert(db:execute("INSERT INTO ticks VALUES (?)", { name }))
    io.print("tick", assert(ticks:receive()).after.name)
    time.sleep("5ms")
  end
end
`

func TestReloadOnSIGHUP(t *testing.T) {
	t.Parallel()
	dir := unpack(t, clock)
	yaml := filepath.Join(dir, "app.yaml")
	r := launch(t, dir, "run")
	r.prints(t, r.stdout, "tick\tfirst\n")

	edit(t, yaml, "input: first", "inputt: second")
	r.signal(t, syscall.SIGHUP)
	r.prints(t, r.stderr, "the app goes on as it was")
	require.Contains(t, r.stderr.String(), `app.yaml:11 entry=app:service field=inputt problem="unknown field of process.service; did you mean input?"`)

	edit(t, yaml, "inputt: second", "input: second", "one.db", "two.db")
	r.signal(t, syscall.SIGHUP)
	r.signal(t, syscall.SIGHUP)
	r.prints(t, r.stdout, "tick\tsecond\n")
	require.FileExists(t, filepath.Join(dir, "two.db"))

	edit(t, filepath.Join(dir, "clock.lua"), `"tick"`, `"tock"`)
	r.signal(t, syscall.SIGHUP)
	r.prints(t, r.stdout, "tock\tsecond\n")

	edit(t, yaml, "two.db", "three.db")
	r.signal(t, syscall.SIGHUP)
	r.signal(t, syscall.SIGINT)
	require.Zero(t, r.exit(), r.stderr)
}

// What is not a running app has nothing to reload: a lost terminal ends it.
func TestSIGHUPEndsACommand(t *testing.T) {
	t.Parallel()
	r := launch(t, unpack(t, clock), "run", "-x", "app:clock", "name")
	r.prints(t, r.stdout, "tick")
	r.signal(t, syscall.SIGHUP)
	require.Equal(t, -1, r.exit(), "it was killed")
}
