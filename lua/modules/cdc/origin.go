package cdc

import (
	"slices"

	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// origin is what the table of a change does not tell, so that the change can be encoded exactly: one string of Lua may
// be a TEXT, a BLOB or a large INTEGER. It is the metatable of that table, which asks no more of it because it is not a
// table itself; scripts cannot give it to another table. Changes that are alike share one. It holds no values, so that
// a script that keeps a change does not keep all that came with it.
type origin struct {
	handle lua.LUserData

	shapes      *shapes
	source      lua.LValue
	transaction api.Transaction
	op          api.Op
	table       *sqlapi.Table
	schema      *api.SchemaChange
	last        bool
	keyOnly     bool
	unchanged   []int
	// before and after are the types of values.
	before, after []sqlapi.Type
}

// originOf returns the origin of change, that of the change before if it is the same.
func (c *converter) originOf(change *api.Change) *origin {
	if o := c.origin; o == nil || c.originTransaction != change.Transaction || !o.fits(change) {
		o = &origin{
			shapes: c.shapes, source: c.source, transaction: *change.Transaction, op: change.Op, table: change.Table,
			schema: change.Schema, last: change.Last, keyOnly: change.KeyOnly, unchanged: slices.Clone(change.Unchanged),
			before: typesOf(change.Before), after: typesOf(change.After),
		}
		o.handle = lua.LUserData{Value: o, Metatable: lua.LNil}
		c.origin, c.originTransaction = o, change.Transaction
	}
	return c.origin
}

func (o *origin) fits(change *api.Change) bool {
	return o.op == change.Op && o.table == change.Table && o.schema == change.Schema && o.last == change.Last && o.keyOnly == change.KeyOnly &&
		slices.Equal(o.unchanged, change.Unchanged) && areOf(change.Before, o.before) && areOf(change.After, o.after)
}

func typesOf(row []sqlapi.Value) []sqlapi.Type {
	if len(row) == 0 {
		return nil
	}
	types := make([]sqlapi.Type, len(row))
	for i := range row {
		types[i] = row[i].Type()
	}
	return types
}

func areOf(row []sqlapi.Value, types []sqlapi.Type) bool {
	if len(row) != len(types) {
		return false
	}
	for i := range row {
		if row[i].Type() != types[i] {
			return false
		}
	}
	return true
}
