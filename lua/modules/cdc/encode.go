package cdc

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// encode is cdc.encode(change, format).
func (s *session) encode(L *lua.LState) int {
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		L.ArgError(1, "the change is "+option.Describe(L.Get(1))+", must be a table that a stream has delivered")
	}
	format := api.FormatJSON
	if v := L.Get(2); v != lua.LNil {
		name, ok := v.(lua.LString)
		if format = api.Format(name); !ok || !slices.Contains(api.Formats(), format) {
			L.ArgError(2, fmt.Sprintf("the format is %s, must be one of %q", option.Describe(v), api.Formats()))
		}
	}
	change, err := s.changeOf(L, t)
	if err != nil {
		return engine.Fail(L, errs.New(errs.Invalid, "cdc: encode: %w", err))
	}
	out, err := s.encoder.AppendChange(nil, format, change)
	if err != nil {
		return engine.Fail(L, fmt.Errorf("cdc: %w", err))
	}
	L.Push(lua.LString(out))
	return 1
}

// changeOf returns the change that a table tells. The values of its rows are those that the table has now; all else must
// be as it was delivered.
func (s *session) changeOf(L *lua.LState, t *lua.LTable) (*api.Change, error) {
	handle, _ := t.Metatable.(*lua.LUserData)
	if handle == nil {
		return nil, errs.New(errs.Invalid, "the table is no change as a stream has delivered it: a copy, also one that came as a message, "+
			"does not know the types of its values; encode the change itself, and send that")
	}
	o, _ := handle.Value.(*origin)
	if o == nil {
		return nil, errs.New(errs.Invalid, "the table is no change")
	}
	change, err := o.rebuild(t)
	if err != nil {
		return nil, err
	}
	// What the change would be delivered as must be what the table says.
	if c := s.checker; c == nil || c.shapes != o.shapes || c.source != o.source {
		s.checker = newConverter(o.shapes, o.source.String())
	}
	if field, ok := difference(s.checker.build(L, change), t); ok {
		return nil, errs.New(errs.Invalid, "the field %s of the change is not as it was delivered: the values of before and after can "+
			"be changed, but not those of the key; put what is yours beside the encoded change", field)
	}
	return change, nil
}

// rebuild returns the change that was delivered as t, with the values that it has now.
func (o *origin) rebuild(t *lua.LTable) (*api.Change, error) {
	change := &api.Change{
		Op: o.op, Table: o.table, Transaction: &o.transaction, Schema: o.schema, Last: o.last, KeyOnly: o.keyOnly, Unchanged: o.unchanged,
	}
	cursor, _ := t.RawGetString("cursor").(lua.LString)
	if _, position, err := api.ParseCursor(string(cursor)); err == nil {
		change.Index = position.Index
		if o.op == api.OpSnapshot {
			change.Index = max(0, position.Index-api.SnapshotOf(0).Index-1)
		}
	}
	change.OldRowID, _ = o.rowID(t, "key")
	var renewed bool
	if change.NewRowID, renewed = o.rowID(t, "new_key"); !renewed {
		change.NewRowID = change.OldRowID
	}
	var err error
	if change.Before, err = o.row(t, "before", o.before, func(column int) bool { return o.keyOnly && !slices.Contains(o.table.Key, column) }); err != nil {
		return nil, err
	}
	change.After, err = o.row(t, "after", o.after, func(column int) bool { return slices.Contains(o.unchanged, column) })
	return change, err
}

// rowID returns the rowid in a key.
func (o *origin) rowID(t *lua.LTable, field string) (rowid int64, ok bool) {
	key, ok := t.RawGetString(field).(*lua.LTable)
	if !ok || o.table == nil || o.table.RowID == "" {
		return 0, false
	}
	v := typed(key.RawGetString(o.table.RowID), sqlapi.Integer)
	return v.Int64(), v.Type() == sqlapi.Integer
}

// row returns the values of an image. unsent says which of them the server has not sent.
func (o *origin) row(t *lua.LTable, field string, types []sqlapi.Type, unsent func(column int) bool) ([]sqlapi.Value, error) {
	if types == nil {
		return nil, nil
	}
	image, ok := t.RawGetString(field).(*lua.LTable)
	if !ok {
		return nil, errs.New(errs.Invalid, "the field %s of the change is %s, must be the row that was delivered", field, option.Describe(t.RawGetString(field)))
	}
	values := make([]sqlapi.Value, len(types))
	for i, column := range o.table.Columns {
		v := image.RawGetString(column.Name)
		switch v.Type() {
		case lua.LTNil:
			continue
		case lua.LTBool, lua.LTNumber, lua.LTString:
		default:
			return nil, errs.New(errs.Invalid, "the field %s.%s of the change is %s, which no column holds", field, column.Name, option.Describe(v))
		}
		if unsent(i) {
			return nil, errs.New(errs.Invalid, "the field %s.%s of the change was not sent by the server: leave it nil", field, column.Name)
		}
		values[i] = typed(v, types[i])
	}
	return values, nil
}

// typed returns a value of Lua as one of that type, if it can be one: else as TEXT, INTEGER, REAL or a boolean.
func typed(v lua.LValue, t sqlapi.Type) sqlapi.Value {
	switch v := v.(type) {
	case lua.LBool:
		return sqlapi.BoolValue(bool(v))
	case lua.LNumber:
		if n, whole := value.Whole(v); whole && t != sqlapi.Real {
			return sqlapi.IntegerValue(n)
		}
		return sqlapi.RealValue(float64(v))
	case lua.LString:
		if t == sqlapi.Blob {
			return sqlapi.BlobValue(string(v))
		}
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil && t == sqlapi.Integer && engine.Integer(n) == v {
			return sqlapi.IntegerValue(n)
		}
		return sqlapi.TextValue(string(v))
	default:
		return sqlapi.Value{}
	}
}

// difference returns the name of a field that two tables do not have alike, the first in the alphabet.
func difference(a, b *lua.LTable) (string, bool) {
	if a == b {
		return "", false
	}
	var name string
	var found bool
	compare := func(k, v lua.LValue, other *lua.LTable) {
		if inner, differs := differ(v, other.RawGet(k)); differs && (!found || k.String()+inner < name) {
			name, found = k.String()+inner, true
		}
	}
	a.ForEach(func(k, v lua.LValue) { compare(k, v, b) })
	b.ForEach(func(k, v lua.LValue) { compare(k, v, a) })
	return name, found
}

func differ(v, w lua.LValue) (inner string, differs bool) {
	switch v := v.(type) {
	case *lua.LTable:
		if w, ok := w.(*lua.LTable); ok {
			if inner, differs = difference(v, w); differs {
				inner = "." + inner
			}
			return inner, differs
		}
	case lua.LNumber:
		if w, ok := w.(lua.LNumber); ok && math.IsNaN(float64(v)) && math.IsNaN(float64(w)) {
			return "", false
		}
	}
	return "", v != w
}
