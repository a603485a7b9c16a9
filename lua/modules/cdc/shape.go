package cdc

import (
	lua "github.com/yuin/gopher-lua"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// maxShapes bounds the table shapes that a process remembers. Beyond it all are forgotten and made anew on use.
const maxShapes = 256

// shape is what all changes of one table shape have in common.
type shape struct {
	schema, table, relation lua.LValue
	// columns is the one Lua table that all changes share.
	columns *lua.LTable
	names   []string
	// keyNames are the fields that keys have as a rule: the primary key, or the rowid of a table without one; empty if
	// rows cannot be told apart.
	keyNames []string
}

// shapes holds the shapes that a process has seen on one kind of engine, by the pointer that the engine shares among
// the changes of one shape.
type shapes struct {
	// qualified says that relations carry their schema, as on Postgres.
	qualified bool
	known     map[*sqlapi.Table]*shape
}

func newShapes(qualified bool) *shapes {
	return &shapes{qualified: qualified, known: make(map[*sqlapi.Table]*shape)}
}

func (s *shapes) of(L *lua.LState, table *sqlapi.Table) *shape {
	if known, ok := s.known[table]; ok {
		return known
	}
	if len(s.known) >= maxShapes {
		clear(s.known)
	}
	made := newShape(L, table, s.qualified)
	s.known[table] = made
	return made
}

func newShape(L *lua.LState, table *sqlapi.Table, qualified bool) *shape {
	relation := table.Name
	if qualified {
		relation = table.Schema + "." + table.Name
	}
	s := &shape{
		schema:   lua.LString(table.Schema),
		table:    lua.LString(table.Name),
		relation: lua.LString(relation),
		columns:  L.CreateTable(len(table.Columns), 0),
		names:    make([]string, len(table.Columns)),
	}
	for i, column := range table.Columns {
		s.names[i] = column.Name
		s.columns.RawSetInt(i+1, lua.LString(column.Name))
	}
	for _, column := range table.Key {
		s.keyNames = append(s.keyNames, s.names[column])
	}
	if len(s.keyNames) == 0 && table.RowID != "" {
		s.keyNames = []string{table.RowID}
	}
	return s
}
