package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

func TestTextsOfScripts(t *testing.T) {
	w := newWorld(t)
	for name, source := range map[string]string{
		"unix":         "function main()\n  return 'ok'\nend\n",
		"windows":      "function main()\r\n  return 'ok'\r\nend\r\n",
		"byte order":   "\uFEFFfunction main() return 'ok' end",
		"shell":        "#!/usr/bin/env wippy\nfunction main() return 'ok' end",
		"comment":      "--[[ a\nb ]] function main() return 'ok' end -- end",
		"no last line": "function main() return 'ok' end",
		"unicode":      "-- žluťoučký kůň\nfunction main() return 'ok' end",
	} {
		w.script("test", source)
		exit := w.wait(w.spawn("test"))
		require.NoError(t, exit.Err, name)
		require.Equal(t, "ok", exit.Value, name)
	}
}

func TestEmptyScript(t *testing.T) {
	w := newWorld(t)
	w.script("test", "")
	require.ErrorContains(t, w.wait(w.spawn("test")).Err, `app:test has no function "main"`)
}

func TestWhereFilesAreNamed(t *testing.T) {
	app, elsewhere := t.TempDir(), t.TempDir()
	for dir, want := range map[string]string{
		app:                             "job.lua:1: ",
		filepath.Join(app, "src"):       "src/job.lua:1: ",
		filepath.Join(app, "src", ".."): "job.lua:1: ",
		elsewhere:                       filepath.Join(elsewhere, "job.lua") + ":1: ",
	} {
		require.NoError(t, os.MkdirAll(dir, 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "job.lua"), []byte("x ="), 0o600))
		entry := scriptEntry("job", "file://job.lua")
		entry.Dir = dir
		err := engine.New(engine.Settings{AppDir: app}).AddProcess(entry)
		require.ErrorContains(t, err, `lua: entry "app:job": `+want, dir)
		require.True(t, errs.Is(err, errs.Invalid))
	}
}

func TestRelativeDirectories(t *testing.T) {
	app := t.TempDir()
	t.Chdir(app)
	require.NoError(t, os.Mkdir("src", 0o750))
	require.NoError(t, os.WriteFile(filepath.Join("src", "job.lua"), []byte("x ="), 0o600))
	for _, dir := range []string{"src", filepath.Join(app, "src")} {
		for _, appDir := range []string{".", app, ""} {
			entry := scriptEntry("job", "file://job.lua")
			entry.Dir = dir
			require.ErrorContains(t, engine.New(engine.Settings{AppDir: appDir}).AddProcess(entry), `lua: entry "app:job": src/job.lua:1: `)
		}
	}
}

func TestFilesInDirectoriesBelow(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "jobs", "daily"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jobs", "daily", "job.lua"), []byte("return {main = function() return 1 end}"), 0o600))
	entry := scriptEntry("job", "file://jobs/daily/job.lua")
	entry.Dir = dir
	require.NoError(t, w.AddProcess(entry))
	require.Equal(t, int64(1), w.wait(w.spawn("job")).Value)
}

func TestAChangedFileIsReadAgain(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	entry := scriptEntry("job", "file://job.lua")
	entry.Dir = dir
	for _, text := range []string{"1", "1", "2", "3"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "job.lua"), []byte("function main() return "+text+" end"), 0o600))
		require.NoError(t, w.AddProcess(entry))
		require.Equal(t, text, map[any]string{int64(1): "1", int64(2): "2", int64(3): "3"}[w.wait(w.spawn("job")).Value])
	}
}

func TestTheSameScriptUnderTwoEntries(t *testing.T) {
	w := newWorld(t, &counter{})
	const source = `function main() return (pcall(require, "counter")) end`
	w.script("with", source, "counter")
	w.script("without", source)
	require.Equal(t, true, w.wait(w.spawn("with")).Value)
	require.Equal(t, false, w.wait(w.spawn("without")).Value)
}

func TestPermissionsCanChange(t *testing.T) {
	w := newWorld(t, &counter{})
	const source = `function main() return (pcall(require, "counter")) end`
	for _, modules := range [][]string{{"counter"}, nil, {"counter", "channel"}} {
		w.script("test", source, modules...)
		require.Equal(t, modules != nil, w.wait(w.spawn("test")).Value)
	}
}

func TestScriptErrorIsAnError(t *testing.T) {
	cause := errs.New(errs.Conflict, "cause")
	err := error(&engine.ScriptError{Process: id("p"), Err: cause})
	require.EqualError(t, err, `lua: process "app:p": cause`)
	require.ErrorIs(t, err, cause)
	require.Equal(t, errs.Conflict, errs.KindOf(err))
	err = &engine.ScriptError{Process: id("p"), Err: errors.New("x"), Traceback: "stack traceback:\n\tline"}
	require.EqualError(t, err, "lua: process \"app:p\": x\nstack traceback:\n\tline")
}
