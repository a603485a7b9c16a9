// Package test is the Lua module with which apps test themselves, above all that the right changes arrive in time.
//
//	local test = require("test")
//
//	local main = test.suite(function()
//		test.case("a new user arrives", function()
//			local changes = assert(assert(cdc.stream("app:cdc")):channel())
//			assert(db:execute("INSERT INTO users (name) VALUES ('ada')"))
//			local change = test.receive(changes, "1s")               -- fails if nothing arrives in time
//			test.match(change, {op = "insert", after = {name = "ada"}}) -- looks at what is listed only
//			test.equal(change.key, {id = 1})                         -- compares tables by content
//			test.silent(changes, "50ms")                             -- fails if anything arrives
//		end)
//	end)
//
//	return {main = main}
//
// test.suite(f) returns a function that runs f and returns whether all its cases have passed, which makes the exit
// code of the program. test.case(name, f) runs f and prints one line: ok or FAIL, and why with file:line. A case fails
// when anything in it raises an error; the cases that follow run nevertheless. An error outside of the cases, or in a
// coroutine that a case has spawned, ends the whole process.
//
// A case fails, too, when it has not ended after 60s, and so does what stands between the cases. The process ends then,
// since nothing can end a case alone. test.case(name, f, {timeout = "5s"}) sets another time for a case, and
// test.suite(f, {timeout = "5s"}) for the whole suite. A case that runs when the process is ended from outside is named.
//
// test.equal(got, want), test.match(got, want) and test.fail(message) raise errors that say where and what is
// different. test.receive(channel, timeout) returns the value received; the timeout is 5s unless one is given. It fails
// when the channel is closed and when an error value arrives, which is how a change stream tells why it has ended.
//
// Results are printed to the terminal: run suites on a terminal.host, as commands do.
package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// Module is the module test.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "test" }

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	s := &suite{}
	if coroutines, ok := L.G.Global.RawGetString(lua.CoroutineLibName).(*lua.LTable); ok {
		s.spawn = coroutines.RawGetString("spawn")
	}
	return L.SetFuncs(L.CreateTable(0, 7), map[string]lua.LGFunction{
		"suite":   s.make,
		"case":    s.run,
		"equal":   equal,
		"match":   match,
		"fail":    fail,
		"receive": receive,
		"silent":  silent,
	})
}

// outside is the name of what stands between the cases of a suite.
const outside = "(outside of the cases)"

// suite is the run of a process's cases.
type suite struct {
	spawn          lua.LValue // coroutine.spawn
	open           bool       // the function of the suite runs
	running        string     // the name of the case that runs
	passed, failed int
	timeout        time.Duration // of each case
	base           base          // of what is between the cases
	between        *limit        // of the same; nil before the suite
}

// make is test.suite(f, options).
func (s *suite) make(L *lua.LState) int {
	f, timeout := L.CheckFunction(1), timeoutOption(L, 2, caseTimeout)
	L.Push(L.NewFunction(func(L *lua.LState) int {
		if _, ok := engine.FromState(L).Terminal(); !ok {
			return engine.Fail(L, errs.New(errs.PermissionDenied,
				"test: suite: process %q has no terminal to print results to; run it on a terminal.host", engine.FromState(L).ID()))
		}
		if s.open {
			L.RaiseError("test: a suite begins before another one has ended")
		}
		args := L.GetTop()
		*s = suite{spawn: s.spawn, open: true, timeout: timeout, base: baseOf(L)}
		s.between = s.newLimit(L, s.base, outside, timeout)
		defer s.leave() // also when f raises an error, which the script may catch
		L.Insert(f, 1)
		L.Call(args, 0)
		return s.finish(L)
	}))
	return 1
}

// leave ends the suite.
func (s *suite) leave() {
	s.open = false
	s.between.stop()
}

// finish prints the sum of the cases and pushes whether they have passed.
func (s *suite) finish(L *lua.LState) int {
	s.leave()
	if s.passed+s.failed == 0 {
		return engine.Fail(L, errs.New(errs.Invalid, "test: suite: there is no case in it; call test.case(name, f) inside of its function"))
	}
	if err := write(L, sum(s.passed, s.failed)); err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LBool(s.failed == 0))
	return 1
}

func sum(passed, failed int) string {
	text := fmt.Sprintf("%d passed", passed)
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}

// run is test.case(name, f, options).
func (s *suite) run(L *lua.LState) int {
	name, f := L.CheckString(1), L.CheckFunction(2)
	switch {
	case !s.open:
		L.RaiseError("test: case %q stands outside of a suite: call it in the function that is passed to test.suite", name)
	case s.running != "":
		L.RaiseError("test: case %q begins before %q has ended: cases run one after the other", name, s.running)
	}
	timeout := timeoutOption(L, 3, s.timeout)
	s.between.stop()
	s.running = name
	l := s.newLimit(L, baseOf(L), name, timeout)
	L.Push(f)
	failure := engine.ProtectedCall(L, 0, 0)
	inTime := l.stop()
	s.running = ""
	if err := engine.FromState(L).Err(); err != nil || !inTime {
		s.terminated(L, name, inTime, err)
	}
	line := "ok   " + name
	if failure == nil {
		s.passed++
	} else {
		s.failed++
		line = failed(name, explain(L, failure))
	}
	if err := write(L, line); err != nil {
		L.RaiseError("%v", err)
	}
	s.between = s.newLimit(L, s.base, outside, s.timeout)
	return 0
}

// terminated names the case that ran when the process was ended for the reason err. That says nothing about the case,
// unless it was ended because of the case, which has been printed.
func (s *suite) terminated(L *lua.LState, name string, inTime bool, err error) {
	if terminal, ok := engine.FromState(L).Terminal(); ok && inTime {
		fmt.Fprintf(terminal.Stdout, "STOP %s: %v\n", name, err)
	}
	L.RaiseError("test: case %q has not ended", name)
}

func failed(name, why string) string { return "FAIL " + name + ": " + why }

// explain tells why a case has failed and where: the message, which begins with file:line, and the lines from which the
// failing one was called, if there are any in the case. Further lines are indented.
func explain(L *lua.LState, failure error) string {
	text, trace := failure.Error(), ""
	if e, ok := errors.AsType[*lua.ApiError](failure); ok {
		text, trace = message(L, e.Object), e.StackTrace
	}
	return located(text, linesOf(trace))
}

// located adds to a text the places it is about.
func located(text string, places []string) string {
	if len(places) > 0 && !strings.HasPrefix(text, places[0]+":") {
		text = places[0] + ": " + text
	}
	lines := strings.Split(text, "\n")
	for _, place := range places[min(1, len(places)):] {
		lines = append(lines, "called at "+place)
	}
	return strings.Join(lines, "\n     ")
}

// message is what was raised, as text.
func message(L *lua.LState, v lua.LValue) string {
	if err, ok := engine.ErrorOf(v); ok {
		return fmt.Sprintf("%s (%s)", err, errs.KindOf(err))
	}
	if text, ok := v.(lua.LString); ok {
		return string(text)
	}
	return "raised " + render(L, v)
}

// linesOf returns the file:line of the Lua frames of a case, the innermost first.
func linesOf(trace string) []string {
	var places []string
	for line := range strings.Lines(trace) {
		place, function, ok := strings.Cut(strings.TrimSpace(line), ": in ")
		switch {
		case !ok:
			continue
		case place == "[G]" && strings.TrimSpace(function) == "function 'case'":
			return places
		case place != "[G]":
			places = append(places, place)
		}
	}
	return places
}

// write prints a line to the terminal. It is not mixed with what others print.
func write(L *lua.LState, line string) error {
	terminal, ok := engine.FromState(L).Terminal()
	if !ok {
		return errs.New(errs.Internal, "test: the terminal is gone")
	}
	_, err := engine.Block(L, func(context.Context) (int, error) { return io.WriteString(terminal.Stdout, line+"\n") })
	if err != nil {
		return fmt.Errorf("test: print the result: %w", err)
	}
	return nil
}
