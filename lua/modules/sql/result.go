package sql

import (
	"database/sql"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// result is the rows of a query, read in full so that they hold no connection.
type result struct {
	columns []string
	// types are the names of the columns' types on the server, where the driver's values do not say enough.
	types []string
	rows  [][]any
}

// collect reads and closes rows.
func collect(rows *sql.Rows) (*result, error) {
	r, err := read(rows)
	if closed := rows.Close(); err == nil {
		err = closed // a statement that was read once may fail when it ends
	}
	return r, err
}

func read(rows *sql.Rows) (*result, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if twice := duplicate(columns); twice != "" {
		return nil, errs.New(errs.Invalid, "two columns are named %q, and a row has one field of a name: rename one with AS", twice)
	}
	r := &result{columns: columns, types: make([]string, len(columns))}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	for i, t := range types {
		r.types[i] = t.DatabaseTypeName()
	}
	targets := make([]any, len(columns))
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			targets[i] = &row[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		r.rows = append(r.rows, row)
	}
	return r, rows.Err()
}

func duplicate(columns []string) string {
	for i, name := range columns {
		if slices.Contains(columns[:i], name) {
			return name
		}
	}
	return ""
}

// table returns the rows as scripts see them.
func (r *result) table(L *lua.LState) (*lua.LTable, error) {
	t := L.CreateTable(len(r.rows), 0)
	for i, values := range r.rows {
		row := L.CreateTable(0, len(values))
		for c, v := range values {
			field, err := fromDriver(L, v, r.types[c])
			if err != nil {
				return nil, errs.New(errs.Internal, "column %q: %w", r.columns[c], err)
			}
			if field != lua.LNil {
				row.RawSetString(r.columns[c], field)
			}
		}
		t.RawSetInt(i+1, row)
	}
	return t, nil
}

// fromDriver returns a driver's value of a column of the named type: NULL, a boolean, a number or bytes. Times are of
// servers that have them; they look as the server writes them, and as they look in changes.
func fromDriver(L *lua.LState, v any, typeName string) (lua.LValue, error) {
	at, ok := v.(time.Time)
	if !ok {
		return engine.ToLua(L, v)
	}
	switch typeName {
	case "DATE":
		return lua.LString(at.Format(time.DateOnly)), nil
	case "TIMESTAMP":
		return lua.LString(at.Format("2006-01-02 15:04:05.999999")), nil
	default:
		return lua.LString(at.UTC().Format("2006-01-02 15:04:05.999999") + "+00"), nil
	}
}
