package cdc

import (
	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// The fields of a change: those that every change has, and the two images.
const changeFields = 19

// converter turns the changes of one stream into Lua tables. What changes have in common is made once: per stream,
// per table shape and per transaction.
type converter struct {
	shapes                 *shapes
	source                 lua.LValue
	insert, update, remove lua.LValue

	table *sql.Table
	shape *shape

	transaction                    *api.Transaction
	id, lsn, timestamp, generation lua.LValue
	// commitLSN and xid are nil but for Postgres.
	commitLSN, xid lua.LValue

	cursor []byte
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
	if change.Table != c.table {
		c.table, c.shape = change.Table, c.shapes.of(L, change.Table)
	}
	if change.Transaction != c.transaction {
		c.begin(change.Transaction)
	}
	shape := c.shape
	t := L.CreateTable(0, changeFields)
	t.RawSetString("op", c.op(change.Op))
	t.RawSetString("schema", shape.schema)
	t.RawSetString("table", shape.table)
	t.RawSetString("relation", shape.relation)
	if len(change.Before) > 0 {
		t.RawSetString("before", shape.row(L, change.Before))
	}
	if len(change.After) > 0 {
		t.RawSetString("after", shape.row(L, change.After))
	}
	t.RawSetString("columns", shape.columns)
	if key := shape.key(L, change); key != nil {
		t.RawSetString("key", key)
	}
	if len(change.Unchanged) > 0 {
		t.RawSetString("unchanged", shape.listOf(L, change.Unchanged))
	}
	if change.Reshape != nil {
		reshape(t, change.Reshape)
	}
	t.RawSetString("source", c.source)
	t.RawSetString("source_id", c.source)
	t.RawSetString("transaction", c.id)
	t.RawSetString("last", lua.LBool(change.Last))
	c.cursor = change.AppendCursor(c.cursor[:0])
	t.RawSetString("cursor", lua.LString(c.cursor))
	t.RawSetString("lsn", c.lsn)
	if c.commitLSN != nil {
		t.RawSetString("commit_lsn", c.commitLSN)
		t.RawSetString("xid", c.xid)
	}
	t.RawSetString("timestamp", c.timestamp)
	t.RawSetString("generation", c.generation)
	return t
}

func (c *converter) begin(tx *api.Transaction) {
	c.transaction = tx
	c.id = lua.LString(tx.ID())
	c.lsn = lua.LString(tx.LSN)
	c.timestamp = lua.LNumber(float64(tx.CommittedAt.Unix()) + float64(tx.CommittedAt.Nanosecond())/1e9)
	c.generation = lua.LString(tx.Generation)
	c.commitLSN, c.xid = nil, nil
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

// reshape adds what op schema tells. What is empty is absent.
func reshape(t *lua.LTable, r *sql.Reshape) {
	t.RawSetString("action", lua.LString(r.Action))
	if r.SQL != "" {
		t.RawSetString("sql", lua.LString(r.SQL))
	}
	if r.From != "" {
		t.RawSetString("renamed_from", lua.LString(r.From))
	}
}

// row returns the values of one image keyed by column name. NULL is absent; columns tells the two apart.
func (s *shape) row(L *lua.LState, values []sql.Value) *lua.LTable {
	t := L.CreateTable(0, len(s.names))
	for i, name := range s.names {
		if v := values[i]; !v.IsNull() {
			t.RawSetString(name, value.Of(v))
		}
	}
	return t
}

// listOf returns a list of the names of columns.
func (s *shape) listOf(L *lua.LState, columns []int) *lua.LTable {
	t := L.CreateTable(len(columns), 0)
	for _, column := range columns {
		t.Append(lua.LString(s.names[column]))
	}
	return t
}

// key returns the primary key of the old row, or of the new one if there is no old one; nil without a row.
func (s *shape) key(L *lua.LState, change *api.Change) *lua.LTable {
	row, rowid := change.After, change.NewRowID
	if len(change.Before) > 0 {
		row, rowid = change.Before, change.OldRowID
	}
	if len(row) == 0 {
		return nil
	}
	if len(s.keys) == 0 {
		if !s.rowid {
			return nil
		}
		t := L.CreateTable(0, 1)
		t.RawSetString("rowid", engine.Integer(rowid))
		return t
	}
	t := L.CreateTable(0, len(s.keys))
	for _, column := range s.keys {
		if v := row[column]; !v.IsNull() {
			t.RawSetString(s.names[column], value.Of(v))
		}
	}
	return t
}
