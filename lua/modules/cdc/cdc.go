// Package cdc is the Lua module by which scripts read the committed changes of a database, in order.
//
//	local cdc = require("cdc")
//	local sources, err = cdc.list_sources()
//	local info, err = cdc.source("app:cdc")         -- nil, nil if there is no such source
//	local stream, err = cdc.stream("app:cdc", {
//	  tables = {"users"}, ops = {"insert", "update"},  -- nil = all
//	  snapshot = true,                              -- begin with the rows as they are; nil = as the source's entry says
//	  buffer = 64,                                  -- changes read ahead, 1..65536
//	  max_bytes = 16777216,                         -- how far behind it may fall, up to the source's log_bytes
//	  schema = true,                                -- op schema too: tables created, altered and dropped
//	  consumer = "search",                          -- go on behind what this consumer has acknowledged
//	  after = cursor,                               -- or begin behind a position that the script keeps
//	  markers = true,                               -- ops begin and end around a snapshot
//	})
//	local changes, err = stream:channel()           -- subscribes on the first call; the same channel afterwards
//	local change, ok = changes:receive()            -- nil, false at the end
//	for change in changes:each() do … end           -- the same; raises why the stream has ended
//	stream:ack(change)                              -- all up to this change, or cursor, is done
//	stream:err()                                    -- nil, or why it ended
//	stream:close()                                  -- true; also done when the process ends
//	cdc.consumers("app:cdc")                        -- the consumers of a source
//	cdc.forget("app:cdc", "search")                 -- ends one
//	cdc.reset("app:cdc", "search", cursor)          -- lets one go on behind a cursor, "live", or with a "snapshot"
//	cdc.follow("app:cdc", {consumer = "search", snapshot = true}, function(change) … end)
//	cdc.encode(change, "debezium")                  -- as JSON: json, debezium, cloudevents or flat
//
// receive is another name of channel, release of close. A stream delivers every transaction that commits after its
// first channel() has returned. With a snapshot it delivers all rows before, as of one moment, as changes of op
// snapshot, and every transaction after that moment: nothing is missing and nothing comes twice. When it ends for a
// reason other than close, the channel delivers that error once, in the place of a change, and then ends.
//
// # Changes
//
// A change is a table of its own with the fields op, schema, table, relation, before, after, columns, key, new_key,
// source, source_id, transaction, last, cursor, lsn, timestamp and generation. The field key identifies the row before
// the change, and new_key after an update that has changed what identifies it: by the primary key or, without one or
// with a NULL in it, by the rowid, under a name of it that no column has. A row that the database cannot tell apart has
// neither. The list columns is shared by all changes of one table shape and must not be changed. NULL is nil, so
// columns tells a column that is NULL from one that is not there. Op truncate, all rows of the table are gone, has no
// rows and no key; nor has op schema, which has action (create, alter, drop), sql (the CREATE statement, nil when
// dropped) and renamed_from. Integers beyond ±2^53 are decimal strings, texts and blobs strings of exactly the bytes
// stored.
package cdc

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module cdc.
type Module struct {
	sources api.Engine
	encoder api.Encoder
}

// New returns the module over the sources of the app.
func New(sources api.Engine, encoder api.Encoder) *Module { return &Module{sources, encoder} }

// Name implements engine.Module.
func (*Module) Name() string { return "cdc" }

// Open implements engine.Module.
func (m *Module) Open(L *lua.LState) *lua.LTable {
	s := &session{
		sources:    m.sources,
		encoder:    m.encoder,
		process:    engine.FromState(L),
		plain:      newShapes(false),
		qualified:  newShapes(true),
		streamType: newStreamType(L),
	}
	t := L.CreateTable(0, 7)
	t.RawSetString("list_sources", L.NewFunction(s.listSources))
	t.RawSetString("source", L.NewFunction(s.source))
	t.RawSetString("stream", L.NewFunction(s.stream))
	t.RawSetString("consumers", L.NewFunction(s.consumers))
	t.RawSetString("forget", L.NewFunction(s.forget))
	t.RawSetString("reset", L.NewFunction(s.reset))
	t.RawSetString("follow", s.newFollow(L, t))
	t.RawSetString("encode", L.NewFunction(s.encode))
	return t
}

// session is the module in one process. It is used with the lock of the process held.
type session struct {
	sources api.Engine
	encoder api.Encoder
	process *engine.Process
	// plain and qualified are the shapes of tables named without and with their schema.
	plain, qualified *shapes
	streamType       *lua.LTable
	// checker converts changes back, for encode; nil until it is needed.
	checker *converter
}

func (s *session) listSources(L *lua.LState) int {
	sources := s.sources.Sources()
	t := L.CreateTable(len(sources), 0)
	for i := range sources {
		t.RawSetInt(i+1, infoTable(L, &sources[i]))
	}
	L.Push(t)
	return 1
}

func (s *session) source(L *lua.LState) int {
	id := s.id(L)
	info, ok := s.sources.Source(id)
	if !ok {
		L.Push(lua.LNil)
		L.Push(lua.LNil)
		return 2
	}
	L.Push(infoTable(L, &info))
	return 1
}

// stream checks everything that can be known before the subscription, and returns the stream. What is wrong in the call
// is raised, what the source does not have is returned.
func (s *session) stream(L *lua.LState) int {
	id := s.id(L)
	opts, after, err := streamOptions(L.Get(2))
	if err != nil {
		return engine.Misuse(L, fmt.Errorf("cdc: stream %q: %w", id, err))
	}
	if after != nil {
		if opts.Start == api.Snapshot() {
			return engine.Fail(L, errs.New(errs.Invalid, "cdc: source %q: snapshot and after are both given: a stream begins "+
				"with a snapshot or behind a position, not both", id))
		}
		if opts.Start, err = api.AfterCursor(*after); err != nil {
			return engine.Fail(L, fmt.Errorf("cdc: stream %q: after: %w", id, err))
		}
	}
	opts.Reader, opts.Owner = fmt.Sprintf("process %s of %s", s.process.PID(), s.process.ID()), s.process.ID().String()
	if err := s.sources.Check(id, opts); err != nil {
		return engine.Fail(L, err)
	}
	L.Push(&lua.LUserData{Value: &stream{session: s, id: id, opts: opts}, Env: L.Env, Metatable: s.streamType})
	return 1
}

// id returns argument 1, the ID of a source.
func (s *session) id(L *lua.LState) registry.ID {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		L.ArgError(1, fmt.Sprintf("the ID is %s, must be a string like app:cdc", option.Describe(L.Get(1))))
	}
	id, err := registry.ParseID(string(name), s.process.ID().Namespace)
	if err != nil {
		L.ArgError(1, err.Error())
	}
	return id
}

// shapes returns the shapes that fit the engine of a source.
func (s *session) shapes(id registry.ID) *shapes {
	if info, ok := s.sources.Source(id); ok && info.Kind == api.KindPostgres {
		return s.qualified
	}
	return s.plain
}
