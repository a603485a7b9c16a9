package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/lua/engine"
)

func TestArgumentsAndResultsAreCopied(t *testing.T) {
	w := newWorld(t)
	for _, v := range []any{
		nil, true, false, int64(1), int64(-1 << 53), 1.5, "text", "\x00\xff",
		map[string]any{},
		[]any{int64(1), "a", []any{true}},
		map[string]any{"a": map[string]any{"b": int64(2)}, "c": []any{"x", int64(1)}},
	} {
		require.Equal(t, v, w.value(`return ...`, v))
	}
	require.Equal(t, "9007199254740993", w.value(`return ...`, int64(1<<53+1)))
	require.Equal(t, int64(3), w.value(`return select("#", ...)`, 1, nil, nil))
}

func TestArgumentThatLuaCannotHold(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main() end`)
	_, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: hostID, Args: []any{1, map[string]any{"x": struct{}{}}}})
	require.ErrorContains(t, err, `lua: spawn "app:test": argument 2: x: a Go struct {} has no counterpart in Lua`)
	require.True(t, errs.Is(err, errs.Invalid))
}

func TestMethod(t *testing.T) {
	w := newWorld(t)
	for name, source := range map[string]string{
		"table":  `return {main = function() return "ok" end}`,
		"global": `function main() return "ok" end`,
		"both":   `function main() return "global" end; return {main = function() return "ok" end}`,
	} {
		t.Run(name, func(t *testing.T) {
			w.script("test", source)
			exit := w.wait(w.spawn("test"))
			require.NoError(t, exit.Err)
			require.Equal(t, "ok", exit.Value)
		})
	}
	w.script("test", `return {mian = function() end}`)
	exit := w.wait(w.spawn("test"))
	require.ErrorContains(t, exit.Err, `lua: process "app:test": app:test has no function "main": return {main = function() ... end}`)
	require.True(t, errs.Is(exit.Err, errs.Invalid))
}

func TestScriptErrorTellsFileLineAndTraceback(t *testing.T) {
	w := newWorld(t)
	w.script("test", "local function deep()\n  local t = nil\n  return t.x\nend\n\nfunction main()\n  local v = deep()\n  return v\nend")
	err := w.wait(w.spawn("test")).Err
	script, ok := errors.AsType[*engine.ScriptError](err)
	require.True(t, ok)
	require.Equal(t, id("test"), script.Process)
	require.ErrorContains(t, script.Err, "app:test:3: attempt to index local 't' (a nil value)")
	require.Contains(t, script.Traceback, "stack traceback:")
	require.Contains(t, script.Traceback, "app:test:7:")
	require.Contains(t, err.Error(), `lua: process "app:test": app:test:3: `)
	require.Contains(t, err.Error(), script.Traceback)
}

func TestScriptErrorAtTopLevel(t *testing.T) {
	w := newWorld(t)
	w.script("test", "error('early')")
	require.ErrorContains(t, w.wait(w.spawn("test")).Err, "app:test:1: early")
}

func TestRaisedObjects(t *testing.T) {
	w := newWorld(t)
	for raise, want := range map[string]string{
		`error("text", 0)`:                  "text",
		`error({message = "from a table"})`: "from a table",
		`error({code = 7})`:                 "table without a message field",
		`error(42, 0)`:                      "42",
		`error(setmetatable({}, {__tostring = function() return "own words" end}))`: "own words",
		`error(setmetatable({}, {__tostring = function() error("no") end}))`:        "table whose __tostring fails",
		`error(nil)`:                            "nil",
		`local ch = channel.new(); error(ch)`:   "channel: ",
		`assert(false, "asserted")`:             "asserted",
		`assert(nil)`:                           "assertion failed!",
		`assert(false, "100%d")`:                "100%d",
		`assert(nil, 7)`:                        "7",
		`assert(nil, {message = "of a table"})`: "of a table",
	} {
		t.Run(raise, func(t *testing.T) {
			script, ok := errors.AsType[*engine.ScriptError](w.run(raise).Err)
			require.True(t, ok)
			require.ErrorContains(t, script.Err, want)
		})
	}
}

func TestErrorValueKeepsItsKind(t *testing.T) {
	w := newWorld(t)
	cause := errs.New(errs.Unavailable, "the thing is down")
	for _, body := range []string{`error(...)`, `return ...`, `return nil, ...`, `local ok, err = pcall(error, ...); error(err)`} {
		exit := w.run(body, cause)
		require.ErrorIs(t, exit.Err, cause)
		require.True(t, errs.Is(exit.Err, errs.Unavailable))
		require.True(t, errs.Retryable(exit.Err))
		require.Nil(t, exit.Value)
	}
	require.NoError(t, w.run(`return "fine", ...`, cause).Err)
}

func TestErrorValueMethods(t *testing.T) {
	w := newWorld(t)
	cause := errs.New(errs.Timeout, "too late")
	require.Equal(t, "TIMEOUT|too late|true|too late|no: too late|too late!|boolean", w.value(`
		local err = ...
		return table.concat({err:kind(), err:message(), tostring(err:retryable()), tostring(err),
			"no: " .. err, err .. "!", type(err:retryable())}, "|")`, cause))
	require.Equal(t, "userdata error", w.value(`local e = ...; return type(e) .. " " .. getmetatable(e)`, cause))
	require.ErrorContains(t, w.run(`local e = ...; return e.kind()`, cause).Err, "error value expected, call it with a colon")
	require.ErrorContains(t, w.run(`local e = ...; return e .. {}`, cause).Err, "attempt to concatenate an error with a table value")
	require.Equal(t, "CANCELED UNKNOWN", w.value(`local a, b = ...; return a:kind() .. " " .. b:kind()`, context.Canceled, errors.New("x")))
}

func TestDetailsOfAnError(t *testing.T) {
	w := newWorld(t)
	cause := fmt.Errorf("stream: %w", detailed{map[string]any{"reason": "gap", "n": int64(1) << 60, "again": true}})
	require.Equal(t, "gap 1152921504606846976 true true", w.value(`
		local err = ...
		local d = err:details()
		d.reason = d.reason .. ""
		return table.concat({d.reason, d.n, tostring(d.again), tostring(d ~= err:details())}, " ")`, cause))
	require.Equal(t, "nil", w.value(`local err = ...; return tostring(err:details())`, errors.New("x")))
	require.ErrorContains(t, w.run(`local e = ...; return e.details()`, cause).Err, "error value expected, call it with a colon: err:details()")
}

// detailed is an error that tells more than its text does.
type detailed struct{ details map[string]any }

func (detailed) Error() string { return "detailed" }

func (d detailed) Details() map[string]any { return d.details }

func TestResultThatCannotLeave(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]string{
		`return function() end`:                                 "the value returned: a function cannot leave its process",
		`return {a = {b = {print}}}`:                            "the value returned: a: b: [1]: a function cannot leave its process",
		`return channel.new()`:                                  "a userdata cannot leave its process",
		`local t = {}; t.t = t; return t`:                       "t: table contains itself",
		`return {1, nil, 3, x = 1}`:                             "keys must be strings, or exactly 1 to n",
		`return {[true] = 1}`:                                   "table key true: keys must be strings",
		`local t = {}; for i = 1, 200 do t = {t} end; return t`: "table is nested more than 100 levels deep",
	} {
		exit := w.run(body)
		require.ErrorContains(t, exit.Err, want)
		require.True(t, errs.Is(exit.Err, errs.Invalid), body)
	}
	require.Equal(t, []any{map[string]any{"v": int64(1)}, map[string]any{"v": int64(1)}},
		w.value(`local t = {v = 1}; return {t, t}`), "the same table twice is no cycle")
}

func TestScriptFiles(t *testing.T) {
	app := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(app, "src", "jobs"), 0o750))
	path := filepath.Join(app, "src", "jobs", "job.lua")
	e := engine.New(engine.Settings{AppDir: app})
	entry := scriptEntry("job", "file://job.lua")
	entry.Dir = filepath.Dir(path)

	err := e.AddProcess(entry)
	require.ErrorContains(t, err, `lua: entry "app:job": source: there is no file `+path)
	require.True(t, errs.Is(err, errs.Invalid))

	require.NoError(t, os.WriteFile(path, []byte("#!/usr/bin/wippy\n\nlocal x = = 1\n"), 0o600))
	err = e.AddProcess(entry)
	require.EqualError(t, err, `lua: entry "app:job": src/jobs/job.lua:3: syntax error near "="`)
	require.True(t, errs.Is(err, errs.Invalid))

	require.NoError(t, os.WriteFile(path, []byte("function main()\n\n"), 0o600))
	require.EqualError(t, e.AddProcess(entry), `lua: entry "app:job": src/jobs/job.lua:3: syntax error at the end of the script`)

	require.NoError(t, os.WriteFile(path, []byte("function main()\n  goto nowhere\nend"), 0o600))
	require.ErrorContains(t, e.AddProcess(entry), `src/jobs/job.lua:`)

	require.ErrorContains(t, e.AddProcess(&registry.Entry{
		ID: id("dir"), Dir: app,
		Config: &process.LuaConfig{Code: process.Code{Source: "file://src"}},
	}), "it is a directory, not a file")
}

func TestErrorsNameTheFile(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "job.lua"), []byte("#!wippy\nfunction main()\n  error('boom')\nend"), 0o600))
	entry := scriptEntry("job", "file://job.lua")
	entry.Dir = dir
	require.NoError(t, w.AddProcess(entry))
	require.ErrorContains(t, w.wait(w.spawn("job")).Err, filepath.Join(dir, "job.lua")+":3: boom")
}

func TestReplacedScript(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main() return 1 end`)
	require.Equal(t, int64(1), w.wait(w.spawn("test")).Value)
	w.script("test", `function main() return 2 end`)
	require.Equal(t, int64(2), w.wait(w.spawn("test")).Value)
	require.Error(t, w.AddProcess(scriptEntry("test", `function`)), "a failed replacement changes nothing")
	require.Equal(t, int64(2), w.wait(w.spawn("test")).Value)
	require.NoError(t, w.Processes().Delete(t.Context(), id("test")))
	_, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: hostID})
	require.EqualError(t, err, `lua: spawn "app:test": there is no such process.lua entry; there is none`)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestWrongConfiguration(t *testing.T) {
	e := engine.New(engine.Settings{})
	entry := &registry.Entry{ID: id("x"), Config: &process.HostConfig{}}
	require.ErrorContains(t, e.AddProcess(entry), "configuration is *process.HostConfig")
	require.ErrorContains(t, e.AddLibrary(entry), "configuration is *process.HostConfig")
	_, err := e.NewService(entry)
	require.ErrorContains(t, err, "configuration is *process.HostConfig")
	_, err = e.NewHost(&registry.Entry{ID: id("x"), Config: &process.LuaConfig{}}, nil)
	require.ErrorContains(t, err, "configuration is *process.LuaConfig")
}

func TestProcessesDoNotShareGlobals(t *testing.T) {
	w := newWorld(t)
	w.script("test", `
		function main(n)
			assert(seen == nil)
			seen = n
			return seen
		end`)
	for i := range 3 {
		require.Equal(t, int64(i), w.wait(w.spawn("test", i)).Value)
	}
}
