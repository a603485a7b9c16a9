package boot_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// reloadable is an app whose shell executes what is typed, and whose watcher goes on with a new stream when one ends.
const reloadable = `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: one.db, lifecycle: {auto_start: true}}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, tables: [a], lifecycle: {auto_start: true}}
  - {name: terminal, kind: terminal.host}
  - {name: shell, kind: process.lua, source: file://shell.lua, modules: [sql, io]}
  - {name: shell.service, kind: process.service, process: shell, host: terminal, lifecycle: {auto_start: true}}
  - {name: watcher, kind: process.lua, source: file://watcher.lua, modules: [cdc, io, time], imports: {greeting: lib}}
  - {name: lib, kind: library.lua, source: file://lib.lua}
  - {name: watcher.service, kind: process.service, process: watcher, host: terminal, lifecycle: {auto_start: true}}
-- lib.lua --
return "watching"
-- shell.lua --
local sql, io = require("sql"), require("io")
function main()
  for line in io.readline do
    local db, err = sql.get("app:db")
    local done
    if db then done, err = db:execute(line) end
    io.print(done and "ok" or tostring(err), line)
  end
end
-- watcher.lua --
local cdc, io, time = require("cdc"), require("io"), require("time")
local function watch(stream, changes)
  io.print(require("greeting"), table.concat(cdc.source("app:cdc").tables or { "all" }, ","))
  while true do
    local change = changes:receive()
    if errors.is(change) then
      return io.print("ended", change:kind(), change:retryable(), change:message())
    end
    io.print(change.op, change.table, change.after.n)
  end
end
function main()
  while true do
    local stream, err = cdc.stream("app:cdc")
    if not stream then return io.print("no stream", err:kind()) end
    local changes = stream:channel()
    if changes then watch(stream, changes) else time.sleep("1ms") end
  end
end
`

// running is an app that runs, can be typed to and reloaded.
type running struct {
	*fixture
	typed  *io.PipeWriter
	reload chan os.Signal
	cancel context.CancelFunc
	ended  chan error
}

// start runs an app until the end of the test.
func start(t *testing.T, archive string) *running {
	t.Helper()
	r := prepare(t, archive)
	r.run(t)
	r.log.wait(t, `msg="service is running" service=app:watcher.service`)
	return r
}

func prepare(t *testing.T, archive string) *running {
	t.Helper()
	r := &running{fixture: write(t, archive), reload: make(chan os.Signal, 1), ended: make(chan error, 1)}
	var stdin *io.PipeReader
	stdin, r.typed = io.Pipe()
	r.settings.Stdin, r.settings.Reload = stdin, r.reload
	return r
}

func (r *running) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	app := r.app(t)
	go func() { r.ended <- app.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
}

// stop ends the app; it must have nothing to complain about.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	require.NoError(t, r.typed.Close())
	require.NoError(t, <-r.ended, r.log)
	r.ended <- nil
}

// change replaces text in a file of the app.
func (r *running) change(t *testing.T, file string, replace ...string) {
	t.Helper()
	path := filepath.Join(r.settings.Dir, file)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := strings.NewReplacer(replace...).Replace(string(old))
	require.NotEqual(t, string(old), changed)
	// In one step, so that a reload that is under way does not read half of it.
	require.NoError(t, os.WriteFile(path+".new", []byte(changed), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// hup asks for a reload and waits until log tells what; the log before it is forgotten.
func (r *running) hup(t *testing.T, what string) {
	t.Helper()
	r.log.forget()
	r.reload <- syscall.SIGHUP
	r.log.wait(t, what)
}

// execute types statements; each must be done.
func (r *running) execute(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := io.WriteString(r.typed, statement+"\n")
		require.NoError(t, err)
		r.stdout.wait(t, "ok\t"+statement+"\n")
	}
}

// services lists what the log tells of services since the last reload, in order.
func (r *running) services() []string {
	var all []string
	for line := range strings.Lines(r.log.String()) {
		for _, what := range []string{"service has stopped", "service is running", "service has completed"} {
			if _, rest, ok := strings.Cut(line, `msg="`+what+`" service=app:`); ok {
				all = append(all, strings.TrimPrefix(strings.TrimPrefix(what, "service "), "has ")+" "+strings.Fields(rest)[0])
			}
		}
	}
	return all
}

const reloaded = "msg=reloaded"
