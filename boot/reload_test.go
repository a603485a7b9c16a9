package boot_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

func TestReloadWithoutChange(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	r.hup(t, "nothing has changed")
	r.change(t, "app.yaml", "entries:", "# a comment and an empty line\n\nentries:")
	r.hup(t, "nothing has changed")
	require.Empty(t, r.services())
}

func TestReloadReplacesASource(t *testing.T) {
	for name, replace := range map[string][]string{
		"tables": {"tables: [a]", "tables: [a, b]"},
		"limits": {"tables: [a]", "tables: [a, b], log_bytes: 1MiB, subscriptions: {max_subscriptions: 1}"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, reloadable)
			r.stdout.wait(t, "watching\ta\n")
			r.execute(t, "CREATE TABLE a (n)", "CREATE TABLE b (n)", "INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (1)")
			r.stdout.wait(t, "insert\ta\t1\n")

			r.change(t, "app.yaml", replace...)
			r.hup(t, reloaded)
			require.Equal(t, []string{"stopped cdc", "is running cdc"}, r.services(), "nothing else was touched")
			r.stdout.wait(t, "watching\ta,b\n")
			require.Regexp(t, `ended\tUNAVAILABLE\ttrue\tcdc: source "app:cdc" .*`, r.stdout)
			r.execute(t, "INSERT INTO b VALUES (2)")
			r.stdout.wait(t, "insert\tb\t2\n")
			require.NotContains(t, r.stdout.String(), "insert\tb\t1")
			require.NotContains(t, r.stdout.String(), "no stream")
		})
	}
}

func TestReloadReplacesADatabaseAndWhatDependsOnIt(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)")
	r.stdout.forget()
	r.change(t, "app.yaml", "one.db", "two.db")
	r.hup(t, reloaded)
	require.Equal(t, []string{"stopped cdc", "stopped db", "is running db", "is running cdc"}, r.services())
	require.Contains(t, r.log.String(), "updated=[app:db] restarted=[app:cdc]")
	r.stdout.wait(t, "watching\ta\n")
	require.Contains(t, r.stdout.String(), "ended\tUNAVAILABLE")
	r.execute(t, "CREATE TABLE a (n, other)", "INSERT INTO a VALUES (3, 4)")
	r.stdout.wait(t, "insert\ta\t3\n")
	require.FileExists(t, filepath.Join(r.settings.Dir, "two.db"))
}

func TestReloadDeletesAndAdds(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	const source = "  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, tables: [a], lifecycle: {auto_start: true}}\n"
	const added = "  - {name: second, kind: process.service, process: watcher, host: terminal, lifecycle: {auto_start: true, requires: [cdc]}}\n"
	r.change(t, "app.yaml", source, "")
	r.hup(t, reloaded)
	require.Contains(t, r.log.String(), "deleted=[app:cdc]")
	r.stdout.wait(t, "no stream\tNOT_FOUND\n")

	r.stdout.forget()
	r.change(t, "app.yaml", "  - {name: lib", source+added+"  - {name: lib")
	r.hup(t, reloaded)
	r.stdout.wait(t, "watching\ta\n")
	require.Contains(t, r.services(), "is running second")
	require.NotContains(t, r.services(), "is running watcher.service", "it has completed and has not changed")

	r.change(t, "app.yaml", added, "")
	r.hup(t, reloaded)
	require.Equal(t, []string{"stopped second"}, r.services())
	r.execute(t, "CREATE TABLE a (n)") // the rest goes on
}

// checkpoints returns the IDs that the checkpoint table of a database holds.
func checkpoints(t *testing.T, file string) []string {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), "SELECT source FROM wippy_cdc_offsets ORDER BY 1")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		all = append(all, name)
	}
	require.NoError(t, rows.Err())
	return all
}

// A checkpoint outlives its source, but not the entry.
func TestReloadDeletesTheCheckpointOfADeletedSource(t *testing.T) {
	const kept = "  - {name: kept, kind: db.cdc.sqlite, db_resource: db, lifecycle: {auto_start: true}}\n"
	r := start(t, strings.Replace(reloadable, "  - {name: lib", kept+"  - {name: lib", 1))
	file := filepath.Join(r.settings.Dir, "one.db")
	r.stdout.wait(t, "watching\ta\n")
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	r.stdout.wait(t, "insert\ta\t1\n")

	r.stdout.forget()
	r.change(t, "app.yaml", "file: one.db", "file: one.db, busy_timeout: 1s") // replaces everything
	r.hup(t, reloaded)
	r.stdout.wait(t, "watching\ta\n")
	require.Equal(t, []string{"app:cdc", "app:kept"}, checkpoints(t, file))

	r.change(t, "app.yaml", "  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, tables: [a], lifecycle: {auto_start: true}}\n", "")
	r.hup(t, reloaded)
	r.log.unwarned(t)
	require.Equal(t, []string{"app:kept"}, checkpoints(t, file))
	r.stop(t)
	require.Equal(t, []string{"app:kept"}, checkpoints(t, file), "the end of the app deletes nothing")
}

// Where the row cannot be deleted, that is said; the entry is gone nevertheless.
func TestReloadCannotDeleteACheckpoint(t *testing.T) {
	const idle = "  - {name: idle.db, kind: db.sql.sqlite, file: idle.db}\n"
	const source = "  - {name: idle, kind: db.cdc.sqlite, db_resource: idle.db}\n"
	r := start(t, strings.Replace(reloadable, "  - {name: lib", idle+source+"  - {name: lib", 1))
	r.change(t, "app.yaml", source, "")
	r.hup(t, reloaded)
	require.Contains(t, r.log.String(), `level=WARN msg="entry has not ended in good order" entry=app:idle`)
	require.Contains(t, r.log.String(), "it is not running")
	require.NotContains(t, r.log.String(), "level=ERROR")
	r.hup(t, "nothing has changed")
}

func TestReloadOfScripts(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	r.change(t, "lib.lua", "watching", "looking at")
	r.hup(t, reloaded)
	r.stdout.wait(t, "looking at\ta\n")
	require.Equal(t, []string{"stopped watcher.service", "is running watcher.service"}, r.services())
	require.Contains(t, r.log.String(), "updated=[app:lib]")

	r.change(t, "watcher.lua", `io.print(require("greeting"), `, `io.print("changed", `)
	r.hup(t, reloaded)
	r.stdout.wait(t, "changed\ta\n")
}

func TestReloadRefusesWhatIsWrong(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	wrong := []string{"tables: [a]", "tables: [b], table: x", "name: lib,", "name: lib, modules: [jsno],"}
	r.change(t, "app.yaml", wrong...)
	r.change(t, "shell.lua", "main()", "main(")
	r.hup(t, "the app goes on as it was")
	file := filepath.Join(r.settings.Dir, "app.yaml")
	require.Contains(t, r.log.String(), "at="+file+":4 entry=app:cdc field=table problem=\"unknown field of db.cdc.sqlite; did you mean tables?\"")
	require.Contains(t, r.log.String(), "at="+file+":9 entry=app:lib field=modules[0]")
	require.Contains(t, r.log.String(), "at="+file+":6 entry=app:shell field=source problem=\"shell.lua:3: syntax error")
	require.Contains(t, r.log.String(), "problems=3")
	require.Empty(t, r.services())
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	r.stdout.wait(t, "insert\ta\t1\n")

	r.change(t, "shell.lua", "main(", "main()")
	r.change(t, "app.yaml", wrong[1], wrong[0], wrong[3], wrong[2])
	r.hup(t, "nothing has changed")

	require.NoError(t, os.Rename(file, file+".gone"))
	r.hup(t, "reload refused, the app goes on as it was")
	require.Contains(t, r.log.String(), "there is no YAML file")
	require.Empty(t, r.services())
}

func TestReloadAskedForWhileTheAppStarts(t *testing.T) {
	r := prepare(t, reloadable)
	r.reload <- syscall.SIGHUP
	r.run(t)
	r.log.wait(t, "nothing has changed")

	again := prepare(t, reloadable)
	defer func() { require.NoError(t, again.typed.Close()) }()
	app := again.app(t)
	again.change(t, "app.yaml", "tables: [a]", "tables: [b]")
	again.reload <- syscall.SIGHUP
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { again.ended <- app.Run(ctx) }()
	again.stdout.wait(t, "watching\tb\n")
	cancel()
	require.NoError(t, <-again.ended)
}

func TestReloadsInQuickSuccession(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	for n := range 10 {
		from, to := "one.db", "two.db"
		if n%2 == 1 {
			from, to = to, from
		}
		r.change(t, "app.yaml", from, to)
		r.reload <- syscall.SIGHUP
	}
	r.change(t, "app.yaml", "tables: [a]", "tables: [b]")
	r.reload <- syscall.SIGHUP
	r.stdout.wait(t, "watching\tb\n")
	require.NotContains(t, r.log.String(), "level=ERROR")
}

func TestReloadIsInterrupted(t *testing.T) {
	for range 10 {
		r := start(t, reloadable)
		r.stdout.wait(t, "watching\ta\n")
		r.change(t, "app.yaml", "one.db", "two.db")
		r.reload <- syscall.SIGHUP
		r.stop(t)
		require.NotContains(t, r.log.String(), "level=ERROR")
	}
}

// What could not be started, or has failed for good since, is tried again by every reload.
func TestReloadTriesAgainWhatHasFailed(t *testing.T) {
	const failing = `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: data.db, lifecycle: {auto_start: true}}
  - {name: host, kind: terminal.host, lifecycle: {auto_start: true}}
  - name: stays
    kind: process.lua
    source: "function main() process.events():receive() end"
  - {name: stays.service, kind: process.service, process: stays, host: host, lifecycle: {auto_start: true}}
  - name: once
    kind: process.lua
    modules: [sql, io]
    source: |
      function main()
        local db = assert(require("sql").get("app:db"))
        assert(db:query("SELECT * FROM t"))
        require("io").print("found")
      end
  - {name: once.service, kind: process.service, process: once, host: host, lifecycle: {auto_start: true, requires: [db], restart: {max_attempts: 1}}}
`
	r := prepare(t, failing)
	file := filepath.Join(r.settings.Dir, "data.db")
	require.NoError(t, os.Mkdir(file, 0o700)) // a directory is no database
	r.run(t)
	r.log.wait(t, "not started: requires app:db, which failed")

	require.NoError(t, os.Remove(file))
	r.hup(t, reloaded)
	require.Contains(t, r.log.String(), "restarted=\"[app:db app:once.service]\"")
	r.log.wait(t, `msg="service has failed" service=app:once.service`)

	r.change(t, "app.yaml", "SELECT * FROM t", "SELECT 1")
	r.hup(t, reloaded)
	r.stdout.wait(t, "found")

	r.change(t, "app.yaml", "SELECT 1", "SELECT * FROM t")
	r.hup(t, `msg="service has failed" service=app:once.service`)
	r.hup(t, `msg="service has failed" service=app:once.service`)
	require.NotContains(t, r.log.String(), "stays.service")
}

// When a reload has taken away the last process that had work to do, the app has nothing left to run for.
func TestReloadCanEndTheApp(t *testing.T) {
	r := start(t, reloadable)
	r.stdout.wait(t, "watching\ta\n")
	r.change(t, "shell.lua", "for line in io.readline do", "do return end while true do")
	r.change(t, "watcher.lua", "function main()", "function main() do return end")
	r.reload <- syscall.SIGHUP
	require.NoError(t, <-r.ended)
	r.ended <- nil
}
