package cdc

import (
	"context"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// consumers is cdc.consumers(id).
func (s *session) consumers(L *lua.LState) int {
	all, err := s.sources.Consumers(s.id(L))
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(consumersTable(L, all))
	return 1
}

func consumersTable(L *lua.LState, all []api.ConsumerInfo) *lua.LTable {
	t := L.CreateTable(len(all), 0)
	for i := range all {
		one := L.CreateTable(0, 7)
		one.RawSetString("name", lua.LString(all[i].Name))
		one.RawSetString("cursor", lua.LString(all[i].Cursor))
		at := all[i].AckedAt
		one.RawSetString("acked_at", lua.LNumber(float64(at.Unix())+float64(at.Nanosecond())/1e9))
		one.RawSetString("snapshot", lua.LBool(all[i].Snapshot))
		one.RawSetString("connected", lua.LBool(all[i].Connected))
		if n := all[i].LagBytes; n >= 0 {
			one.RawSetString("lag_bytes", engine.Integer(n))
		}
		if n := all[i].LagTransactions; n >= 0 {
			one.RawSetString("lag_transactions", engine.Integer(n))
		}
		t.Append(one)
	}
	return t
}

// forget is cdc.forget(id, name).
func (s *session) forget(L *lua.LState) int {
	id, name := s.id(L), L.CheckString(2)
	_, err := engine.Block(L, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.sources.Forget(ctx, id, name)
	})
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LTrue)
	return 1
}

// reset is cdc.reset(id, name, start): start is a cursor, "live" or "snapshot".
func (s *session) reset(L *lua.LState) int {
	id, name := s.id(L), L.CheckString(2)
	word, ok := L.Get(3).(lua.LString)
	if !ok {
		L.ArgError(3, `cursor, "live" or "snapshot" expected, got `+option.Describe(L.Get(3)))
	}
	start, known := map[string]api.Start{"live": api.Live(), "snapshot": api.Snapshot()}[string(word)]
	if !known {
		var err error
		if start, err = api.AfterCursor(string(word)); err != nil {
			return engine.Fail(L, fmt.Errorf("cdc: reset %q of %q: %w", name, id, err))
		}
	}
	_, err := engine.Block(L, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.sources.Reset(ctx, id, name, start)
	})
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LTrue)
	return 1
}

// ack is stream:ack(change) and stream:ack(cursor).
func (s *stream) ack(L *lua.LState) int {
	v := L.Get(2)
	if t, ok := v.(*lua.LTable); ok {
		v = t.RawGetString("cursor")
	}
	cursor, ok := v.(lua.LString)
	if !ok {
		L.ArgError(2, "change or cursor expected, got "+option.Describe(L.Get(2)))
	}
	if err := s.acknowledge(string(cursor)); err != nil {
		return engine.Fail(L, fmt.Errorf("cdc: stream %q: ack: %w", s.id, err))
	}
	L.Push(lua.LTrue)
	return 1
}

func (s *stream) acknowledge(cursor string) error {
	generation, p, err := api.ParseCursor(cursor)
	switch {
	case err != nil:
		return err
	case s.opts.Consumer == "":
		return errs.New(errs.Invalid, "the stream has no consumer, whose position could be kept: open it with {consumer = name}")
	case s.producer == nil:
		return errs.New(errs.Invalid, "%s was not delivered by this stream: it has yet to be opened by channel()", cursor)
	case s.producer.stream == nil:
		return errs.New(errs.Invalid, "the stream was closed: acknowledge first")
	case generation != s.producer.converter.generationName():
		return errs.New(errs.Invalid, "%s was not delivered by this stream", cursor)
	}
	return s.producer.stream.Ack(p)
}
