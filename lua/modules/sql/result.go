package sql

import (
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// result is the rows of a query, read in full so that they hold no connection.
type result struct {
	columns []string
	// types are the names of the columns' types on the server, where the driver's values do not say enough.
	types []string
	rows  [][]any
	// size is about what the rows take in memory, here and in the script.
	size  int64
	bound bound
}

// bound is how large a result may be.
type bound struct {
	bytes int64
	// returning says that the statement has written before it returns rows.
	returning bool
}

// What a row and a value take in memory besides the bytes of texts and blobs, here and in the script.
const (
	rowOverhead   = 800
	valueOverhead = 128
)

// boundOf returns how large a result of a statement on db may be.
func boundOf(db sqlapi.DB, statement string) bound {
	b := bound{bytes: math.MaxInt64, returning: strings.Contains(strings.ToUpper(statement), "RETURNING")}
	if bounded, ok := db.(sqlapi.Bounded); ok {
		b.bytes = bounded.MaxResultBytes()
	}
	return b
}

// add adds a row, unless the result becomes too large.
func (r *result) add(row []any) error {
	r.size += rowOverhead + int64(len(row))*valueOverhead
	for _, v := range row {
		switch v := v.(type) {
		case string:
			r.size += 2 * int64(len(v))
		case []byte:
			r.size += 2 * int64(len(v))
		}
	}
	if r.size > r.bound.bytes {
		written := ""
		if r.bound.returning {
			written = "; what the statement has written stays"
		}
		return errs.New(errs.Invalid, "the result takes more memory than the field max_result_bytes (%s) of the database allows, after %d rows: "+
			"select less at a time, or raise it%s", unit.Size(r.bound.bytes), len(r.rows), written)
	}
	r.rows = append(r.rows, row)
	return nil
}

// collect reads and closes rows.
func collect(rows *sql.Rows, most bound) (*result, error) {
	r, err := read(rows, most)
	if closed := rows.Close(); err == nil {
		err = closed // a statement that was read once may fail when it ends
	}
	return r, err
}

func read(rows *sql.Rows, most bound) (*result, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if twice := duplicate(columns); twice != "" {
		return nil, errs.New(errs.Invalid, "two columns are named %q, and a row has one field of a name: rename one with AS", twice)
	}
	r := &result{columns: columns, types: make([]string, len(columns)), bound: most}
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
		if err := r.add(row); err != nil {
			return nil, err
		}
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
