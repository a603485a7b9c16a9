package boot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/boot"
)

// problems loads an app and returns what is wrong with it, a line each, without the directory.
func problems(t *testing.T, archive string) []string {
	t.Helper()
	f := write(t, archive)
	_, err := boot.Load(f.settings)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	p, ok := errors.AsType[*boot.Problems](err)
	require.True(t, ok)
	require.Equal(t, len(p.List), strings.Count(p.Error(), "\n")+1)
	return strings.Split(strings.ReplaceAll(p.Error(), f.settings.Dir+"/", ""), "\n")
}

func TestScriptsAreCheckedBeforeAnythingRuns(t *testing.T) {
	require.Equal(t, []string{
		"app.yaml:5: app:syntax: source: bad.lua:2: syntax error near \"=\"",
		"app.yaml:8: app:inline: source: app:inline:1: syntax error at the end of the script",
		"app.yaml:9: app:modules: modules[0]: there is no module \"jsn\"; did you mean json?",
		"app.yaml:9: app:modules: modules[1]: there is no module \"filesystem\"; " +
			"there are base64, cdc, channel, errors, hex, io, json, logger, process, sql, test, time",
		"app.yaml:9: app:modules: modules[3]: lists \"sql\" twice",
		"app.yaml:10: app:hides: imports.cdc: \"cdc\" is the name of a module: import the library under another name",
	}, problems(t, `namespace: app
entries:
  - name: syntax
    kind: process.lua
    source: file://bad.lua
  - name: inline
    kind: library.lua
    source: "function f("
  - {name: modules, kind: process.lua, source: "function main() end", modules: [jsn, filesystem, sql, sql]}
  - {name: hides, kind: process.lua, source: "function main() end", imports: {cdc: lib}}
  - {name: lib, kind: library.lua, source: "return {}"}
-- bad.lua --
local x
x = = 1
`))
}

func TestCommandsAreChecked(t *testing.T) {
	require.Equal(t, []string{
		"app.yaml:4: app:b: meta.command.name: there is another command go: app:a",
		"app.yaml:5: app:c: meta.command.nam: unknown field of meta.command; did you mean name?",
	}, problems(t, `namespace: app
entries:
  - {name: a, kind: process.lua, source: "function main() end", meta: {command: {name: go}}}
  - {name: b, kind: process.lua, source: "function main() end", meta: {command: {name: go}}}
  - {name: c, kind: process.lua, source: "function main() end", meta: {command: {name: come, nam: x}}}
`))
}

func TestCommandsAreListedByName(t *testing.T) {
	app := write(t, `namespace: app
entries:
  - {name: b, kind: process.lua, source: "function main() end", meta: {command: {name: two, use_case: test}}}
  - {name: a, kind: process.lua, source: "function main() end", meta: {command: {name: one, short: first}, other: 1}}
  - {name: c, kind: process.lua, source: "function main() end"}
`).app(t)
	require.Equal(t, 3, app.Len())
	require.Equal(t, []process.Command{
		{ID: id("a"), Name: "one", Short: "first"}, {ID: id("b"), Name: "two", UseCase: "test"},
	}, app.Commands())
}

func TestPostgresSourcesAreValidatedInFull(t *testing.T) {
	require.Equal(t, []string{
		"app.yaml:3: app:pg: db_resource: is required, or host and database: say where the server is",
		"app.yaml:3: app:pg: publication: is required, or tables: say what to capture",
		"app.yaml:5: app:pg: slot_name: \"Not-Valid\": only a-z, 0-9 and _ are allowed, 63 characters at most",
		"app.yaml:6: app:pg: on_idle: \"wait\" is not known: use hold or discard",
	}, problems(t, `namespace: app
entries:
  - name: pg
    kind: db.cdc.postgres
    slot_name: Not-Valid
    on_idle: wait
`))
}

func TestLoadStartsNothing(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: data/app.db, lifecycle: {auto_start: true}}
`)
	f.app(t)
	require.NoDirExists(t, f.settings.Dir+"/data")
	_, err := boot.Load(boot.Settings{Dir: f.settings.Dir + "/nowhere"})
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}

func TestSettingsMayBeLeftOut(t *testing.T) {
	f := write(t, `namespace: app
entries:
  - name: main
    kind: process.lua
    modules: [io, logger]
    source: |
      function main()
        local io = require("io")
        io.print("to nobody")
        io.eprint("to nobody either")
        require("logger").info("nor this")
        return io.readline() == nil and #io.args() == 0
      end
`)
	app, err := boot.Load(boot.Settings{Dir: f.settings.Dir})
	require.NoError(t, err)
	exit, err := app.Execute(t.Context(), id("main"), nil)
	require.NoError(t, err)
	require.NoError(t, exit.Err)
	require.Equal(t, true, exit.Value)
}

func TestLibrariesThatImportEachOtherAreReported(t *testing.T) {
	require.Equal(t, []string{
		"app.yaml:5: app:b: imports.a: requires itself: app:a -> app:b -> app:a",
	}, problems(t, `namespace: app
entries:
  - {name: main, kind: process.lua, source: "function main() end", imports: {a: a}}
  - {name: a, kind: library.lua, source: "return {}", imports: {b: b}}
  - {name: b, kind: library.lua, source: "return {}", imports: {a: a}}
`))
}

// What is no file is refused before anything reads it, and a pipe would be waited for.
func TestScriptsThatAreNoFilesAreRefused(t *testing.T) {
	t.Parallel()
	f := write(t, `
namespace: app
entries:
  - {name: p, kind: process.lua, source: file://pipe.lua}
  - {name: l, kind: library.lua, source: file://zero.lua}
`)
	require.NoError(t, syscall.Mkfifo(filepath.Join(f.settings.Dir, "pipe.lua"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(f.settings.Dir, "zero.lua")))
	_, err := boot.Load(f.settings)
	require.ErrorContains(t, err, `pipe.lua" cannot be read: it is a named pipe, not a file`)
	require.ErrorContains(t, err, `zero.lua" cannot be read: it is a device, not a file`)
}

// What cannot run is found before anything does.
func TestScriptsThatCannotRunAreProblems(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		`app.yaml:5: app:a: source: a.lua:1: module "time" is not allowed here: add it to modules of app:a`,
		`app.yaml:6: app:b: method: app:b has no function "mian" and returns a table without it (did you mean "main"?): return {mian = function() ... end}, or name another method`,
		`app.yaml:7: app:l: source: app:l:1: there is no module "jsn"; did you mean "json"?`,
	}, problems(t, `
namespace: app
entries:
  - {name: fine, kind: process.lua, source: "return {main = function() require('io').print(1) end}", modules: [io]}
  - {name: a, kind: process.lua, source: file://a.lua}
  - {name: b, kind: process.lua, source: "return {main = print}", method: mian}
  - {name: l, kind: library.lua, source: "return require('jsn')"}
-- a.lua --
local time = require("time") function main() time.sleep("1s") end
`))
}
