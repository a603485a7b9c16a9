package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/mattn/go-sqlite3"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// defaultOf returns the value that a column has in rows that are older than it.
func (s *Shape) defaultOf(column int) (sqlapi.Value, error) {
	if s.defaults[column] == "" {
		return sqlapi.Value{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.older[column]; ok {
		return known, nil
	}
	value, err := s.askForDefault(column)
	if err != nil {
		return value, err
	}
	if s.older == nil {
		s.older = map[int]sqlapi.Value{}
	}
	s.older[column] = value
	return value, nil
}

// askForDefault asks a table with such a column, so that the value gets the type that the column gives it.
func (s *Shape) askForDefault(column int) (value sqlapi.Value, err error) {
	conn, err := openPlain(sqlapi.InMemory)
	if err != nil {
		return value, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := s.createWithDefault(conn, column); err != nil {
		return value, err
	}
	// The sign keeps the driver from making a time of a DATE.
	err = eachRow(conn, "SELECT typeof(c), +c FROM t", func(row []driver.Value) {
		switch v := row[1].(type) {
		case int64:
			value = sqlapi.IntegerValue(v)
		case float64:
			value = sqlapi.RealValue(v)
		case string:
			value = sqlapi.TextValue(v)
		case []byte:
			if value = sqlapi.BlobValue(string(v)); row[0] == "text" {
				value = sqlapi.TextValue(string(v))
			}
		}
	})
	return value, err
}

// createWithDefault makes the table t, whose column c has the default of a column, and one row that has it. SQLite
// tells an expression without the brackets around it, and a word, which must not have any, as it is. Brackets come
// first: without them 'a' NOT NULL is a default and a constraint. A word in brackets is refused, because it is no
// constant. A comment may be at the end.
func (s *Shape) createWithDefault(conn *sqlite3.SQLiteConn, column int) error {
	end := ")"
	if s.isStrict {
		end = ") STRICT"
	}
	create := func(byDefault string) error {
		return executeAll(context.Background(), conn, []string{
			"CREATE TABLE t (c " + s.table.Columns[column].Type + " DEFAULT " + byDefault + "\n" + end, "INSERT INTO t DEFAULT VALUES",
		})
	}
	err := create("(" + s.defaults[column] + "\n)")
	if err != nil && create(s.defaults[column]) == nil {
		return nil
	}
	return err
}
