package cdc

import (
	"slices"

	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// The fields of a change: those that every change has, and the two images.
const changeFields = 20

// converter turns the changes of one stream into Lua tables. What changes have in common is made once: per stream,
// per table shape and per transaction.
type converter struct {
	shapes                 *shapes
	source                 lua.LValue
	insert, update, remove lua.LValue

	table *sqlapi.Table
	shape *shape

	transaction                    *api.Transaction
	id, lsn, timestamp, generation lua.LValue
	// commitLSN and xid are LNil but for Postgres.
	commitLSN, xid lua.LValue

	// origin is that of the last change, which was of originTransaction.
	origin            *origin
	originTransaction *api.Transaction

	cursor []byte
	// names and values are those of the last key.
	names  []string
	values []sqlapi.Value

	// last is the layout of the last change, alike says that the one before had it too, ahead is the form for the next
	// one, if it was made.
	last  layout
	alike bool
	ahead form
}

func newConverter(shapes *shapes, source string) *converter {
	return &converter{
		shapes: shapes,
		source: lua.LString(source),
		insert: lua.LString(api.OpInsert),
		update: lua.LString(api.OpUpdate),
		remove: lua.LString(api.OpDelete),
	}
}

// convert returns change as scripts see it.
func (c *converter) convert(L *lua.LState, change *api.Change) *lua.LTable {
	t := c.build(L, change)
	t.Metatable = &c.originOf(change).handle
	return t
}

// build returns a table with the fields of change.
func (c *converter) build(L *lua.LState, change *api.Change) *lua.LTable {
	if change.Table == nil {
		return c.marker(L, change)
	}
	if change.Table != c.table {
		c.table, c.shape = change.Table, c.shapes.of(L, change.Table)
	}
	if change.Transaction != c.transaction {
		c.begin(change.Transaction)
	}
	f := c.formFor(L, change)
	c.fill(L, f, change)
	return f.change
}

// marker returns what marks the beginning or the end of a snapshot.
func (c *converter) marker(L *lua.LState, change *api.Change) *lua.LTable {
	if change.Transaction != c.transaction {
		c.begin(change.Transaction)
	}
	t := L.CreateTable(0, 9)
	t.RawSetString("op", lua.LString(change.Op))
	t.RawSetString("source", c.source)
	t.RawSetString("source_id", c.source)
	c.place(t, change)
	return t
}

// generationName returns the generation of the last change, "" if there was none.
func (c *converter) generationName() string {
	if c.transaction == nil {
		return ""
	}
	return c.transaction.Generation
}

// fill sets every field of f that change decides.
func (c *converter) fill(L *lua.LState, f form, change *api.Change) {
	t, shape := f.change, c.shape
	if f.before != nil {
		shape.setRow(f.before, change.Before)
	}
	if f.after != nil {
		shape.setRow(f.after, change.After)
	}
	if f.key != nil {
		c.setKey(f, change)
	}
	if c.names, c.values = change.AppendNewKey(c.names[:0], c.values[:0]); len(c.names) > 0 {
		t.RawSetString("new_key", c.keyIn(L.CreateTable(0, len(c.names))))
	}
	if len(change.Unchanged) > 0 {
		t.RawSetString("unchanged", shape.listOf(L, change.Unchanged))
	}
	if change.Schema != nil {
		addSchemaChange(t, change.Schema)
	}
	c.place(t, change)
}

// place sets the fields that say where the change is.
func (c *converter) place(t *lua.LTable, change *api.Change) {
	t.RawSetString("transaction", c.id)
	t.RawSetString("last", lua.LBool(change.Last))
	c.cursor = change.AppendCursor(c.cursor[:0])
	t.RawSetString("cursor", lua.LString(c.cursor))
	t.RawSetString("lsn", c.lsn)
	t.RawSetString("commit_lsn", c.commitLSN)
	t.RawSetString("xid", c.xid)
	t.RawSetString("timestamp", c.timestamp)
	t.RawSetString("generation", c.generation)
}

func (c *converter) begin(tx *api.Transaction) {
	c.transaction = tx
	c.id = lua.LString(tx.ID())
	c.lsn = lua.LString(tx.LSN)
	c.timestamp = lua.LNumber(float64(tx.CommittedAt.Unix()) + float64(tx.CommittedAt.Nanosecond())/1e9)
	c.generation = lua.LString(tx.Generation)
	c.commitLSN, c.xid = lua.LNil, lua.LNil
	if tx.CommitLSN != "" {
		c.commitLSN, c.xid = lua.LString(tx.CommitLSN), lua.LNumber(tx.XID)
	}
}

func (c *converter) op(op api.Op) lua.LValue {
	switch op {
	case api.OpInsert:
		return c.insert
	case api.OpUpdate:
		return c.update
	case api.OpDelete:
		return c.remove
	default:
		return lua.LString(op)
	}
}

// addSchemaChange adds what op schema tells. What is empty is absent.
func addSchemaChange(t *lua.LTable, r *api.SchemaChange) {
	t.RawSetString("action", lua.LString(r.Action))
	if r.SQL != "" {
		t.RawSetString("sql", lua.LString(r.SQL))
	}
	if r.From != "" {
		t.RawSetString("renamed_from", lua.LString(r.From))
	}
}

// setRow sets the values of one image, keyed by column name. NULL is absent; columns tells the two apart.
func (s *shape) setRow(t *lua.LTable, values []sqlapi.Value) {
	for i, name := range s.names {
		t.RawSetString(name, value.Of(values[i]))
	}
}

// listOf returns a list of the names of columns.
func (s *shape) listOf(L *lua.LState, columns []int) *lua.LTable {
	t := L.CreateTable(len(columns), 0)
	for _, column := range columns {
		t.Append(lua.LString(s.names[column]))
	}
	return t
}

// setKey sets the key of a form that was made for one, or takes it away.
func (c *converter) setKey(f form, change *api.Change) {
	c.names, c.values = change.AppendKey(c.names[:0], c.values[:0])
	if !slices.Equal(c.names, c.shape.keyNames) {
		for _, name := range c.shape.keyNames { // room was made for them
			f.key.RawSetString(name, lua.LNil)
		}
	}
	if len(c.names) == 0 {
		f.change.RawSetString("key", lua.LNil)
	}
	c.keyIn(f.key)
}

// keyIn sets the fields of the last key in t.
func (c *converter) keyIn(t *lua.LTable) *lua.LTable {
	for i, name := range c.names {
		t.RawSetString(name, value.Of(c.values[i]))
	}
	return t
}
