package cdc

import (
	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// layout is which tables a change consists of.
type layout struct {
	table         *sqlapi.Table
	op            api.Op
	before, after bool
}

func layoutOf(change *api.Change) layout {
	return layout{change.Table, change.Op, len(change.Before) > 0, len(change.After) > 0}
}

// form is the tables of one change, in which what all changes of the layout have in common is filled in.
type form struct {
	layout layout
	// before, after and key are nil if the change has none.
	change, before, after, key *lua.LTable
}

// newForm returns a form for a change of the current shape.
func (c *converter) newForm(L *lua.LState, l layout) form {
	f, shape := form{layout: l, change: L.CreateTable(0, changeFields)}, c.shape
	f.change.RawSetString("op", c.op(l.op))
	f.change.RawSetString("schema", shape.schema)
	f.change.RawSetString("table", shape.table)
	f.change.RawSetString("relation", shape.relation)
	if l.before {
		f.before = L.CreateTable(0, len(shape.names))
		f.change.RawSetString("before", f.before)
	}
	if l.after {
		f.after = L.CreateTable(0, len(shape.names))
		f.change.RawSetString("after", f.after)
	}
	f.change.RawSetString("columns", shape.columns)
	if n := len(shape.keyNames); n > 0 && (l.before || l.after) {
		f.key = L.CreateTable(0, n)
		f.change.RawSetString("key", f.key)
	}
	f.change.RawSetString("source", c.source)
	f.change.RawSetString("source_id", c.source)
	return f
}

// prepare makes a form ahead of the next change, while the script waits for it: making the tables takes longer than filling
// them in. It is done for streams whose changes are alike.
func (c *converter) prepare(L *lua.LState) {
	if !c.alike || c.ahead.change != nil {
		return
	}
	f := c.newForm(L, c.last)
	for _, row := range []*lua.LTable{f.before, f.after} {
		if row != nil {
			reserve(row, c.shape.names)
		}
	}
	if f.key != nil {
		reserve(f.key, c.shape.keyNames)
	}
	reserve(f.change, []string{"transaction", "last", "cursor", "lsn", "timestamp", "generation"})
	if c.commitLSN != lua.LNil {
		reserve(f.change, []string{"commit_lsn", "xid"})
	}
	c.ahead = f
}

// reserve makes room in t for fields that are all set later, if to nil.
func reserve(t *lua.LTable, fields []string) {
	for _, name := range fields {
		t.RawSetString(name, lua.LFalse)
	}
}

// formFor returns a form for change, the one made ahead if it fits.
func (c *converter) formFor(L *lua.LState, change *api.Change) form {
	l, f := layoutOf(change), c.ahead
	c.last, c.alike, c.ahead = l, l == c.last, form{}
	if f.change == nil || f.layout != l {
		return c.newForm(L, l)
	}
	return f
}
