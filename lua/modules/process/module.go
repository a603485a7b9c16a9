// Package process lets scripts start, address and end processes: the global module process.
//
// Messages and arguments are copied: nil, booleans, numbers, strings, error values and tables of those. Every process
// has an inbox of engine.MailboxSize (1024) messages and as many per topic it listens to; a send to a full one returns
// an UNAVAILABLE error, which is retryable, and nothing is dropped. The end of a child is an event of its parent; a
// parent that has never called events() keeps the newest 1024 of them.
package process

import (
	"context"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// Module is the module process.
type Module struct{}

var _ engine.Global = Module{}

// New returns the module.
func New() Module { return Module{} }

// Name implements engine.Module.
func (Module) Name() string { return "process" }

// Global implements engine.Global.
func (Module) Global() {}

// Open implements engine.Module.
func (Module) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.CreateTable(0, 11), map[string]lua.LGFunction{
		"pid":       pid,
		"id":        id,
		"spawn":     spawn,
		"send":      send,
		"inbox":     inbox,
		"events":    events,
		"listen":    listen,
		"cancel":    cancel,
		"terminate": terminate,
		"ready":     ready,
	})
}

// pid is process.pid(): the address of this process.
func pid(L *lua.LState) int {
	L.Push(lua.LString(engine.FromState(L).PID()))
	return 1
}

// id is process.id(): the entry of this process.
func id(L *lua.LState) int {
	L.Push(lua.LString(engine.FromState(L).ID().String()))
	return 1
}

// ready is process.ready(): the service whose process this is counts as started, if its entry says ready: true.
func ready(L *lua.LState) int {
	engine.FromState(L).SayReady()
	L.Push(lua.LTrue)
	return 1
}

// spawn is process.spawn(id, host, ...): the address of a new process whose method gets the arguments.
func spawn(L *lua.LState) int {
	p := engine.FromState(L)
	s, err := spawnArgs(L, p.ID().Namespace)
	if err != nil {
		return engine.Misuse(L, err)
	}
	pid, err := engine.Block(L, func(context.Context) (process.PID, error) { return p.Spawn(s) })
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LString(pid))
	return 1
}

func spawnArgs(L *lua.LState, namespace string) (process.Spawn, error) {
	var s process.Spawn
	var err error
	if s.Process, err = registry.ParseID(L.CheckString(1), namespace); err != nil {
		return s, errs.New(errs.Invalid, "process: spawn: process: %w", err)
	}
	if s.Host, err = registry.ParseID(L.CheckString(2), namespace); err != nil {
		return s, errs.New(errs.Invalid, "process: spawn %q: host: %w", s.Process, err)
	}
	if s.Args, err = values(L, 3); err != nil {
		return s, fmt.Errorf("process: spawn %q: %w", s.Process, err)
	}
	return s, nil
}

// values copies the arguments from n on.
func values(L *lua.LState, n int) ([]any, error) {
	var list []any
	for i := n; i <= L.GetTop(); i++ {
		v, err := engine.FromLua(L.Get(i))
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// send is process.send(pid, topic, ...): each value is a message of its own, all are delivered or none.
func send(L *lua.LState) int {
	to, topic := process.PID(L.CheckString(1)), topicArg(L, 2)
	payloads, err := values(L, 3)
	if err != nil {
		return engine.Misuse(L, fmt.Errorf("process: send %q: %w", to, err))
	}
	return done(L, engine.FromState(L).Send(to, topic, payloads...))
}

func topicArg(L *lua.LState, n int) string {
	topic := L.CheckString(n)
	if topic == "" {
		L.ArgError(n, "topic is empty")
	}
	return topic
}

// inbox is process.inbox(): the channel of {topic, payload, from} for topics that the process does not listen to.
func inbox(L *lua.LState) int {
	L.Push(engine.FromState(L).Inbox(L))
	return 1
}

// events is process.events(): the channel of {kind, from, deadline, result, error}. From now on the process is asked to
// end by an event pid.cancel, and terminated at its deadline, Unix seconds, if it does not.
func events(L *lua.LState) int {
	L.Push(engine.FromState(L).Events(L))
	return 1
}

// listen is process.listen(topic): the channel of the payloads sent to topic. Messages of the topic that wait in the
// inbox move there, so that it does not matter who is first.
func listen(L *lua.LState) int {
	topic := topicArg(L, 1)
	L.Push(engine.FromState(L).Listen(L, topic))
	return 1
}

// cancel is process.cancel(pid, timeout): it asks the process to end, lets it be terminated when timeout has passed
// (text like "5s"; default 10s), and does not wait for that.
func cancel(L *lua.LState) int {
	to := process.PID(L.CheckString(1))
	timeout := supervisor.DefaultLifecycle().StopTimeout
	if L.Get(2) != lua.LNil {
		if err := timeout.UnmarshalText([]byte(L.CheckString(2))); err != nil {
			L.ArgError(2, err.Error())
		}
	}
	return done(L, engine.FromState(L).Cancel(to, max(0, timeout.Std())))
}

// terminate is process.terminate(pid): it ends the process at its next instruction and does not wait for it.
func terminate(L *lua.LState) int {
	return done(L, engine.FromState(L).Terminate(process.PID(L.CheckString(1))))
}

func done(L *lua.LState, err error) int {
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LTrue)
	return 1
}
