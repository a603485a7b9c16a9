package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// eachRow runs a query of few rows on the driver's connection itself, which is in the middle of something. It goes round
// the driver, which would take longer than many a statement that is accompanied by such queries.
func eachRow(conn *sqlite3.SQLiteConn, query string, f func(row []driver.Value)) error {
	rows, err := capture.ReadAll(rawHandleOf(conn), query)
	if e, ok := errors.AsType[*capture.QueryError](err); ok {
		err = &queryError{message: e.Message, code: sqlite3.Error{
			Code: sqlite3.ErrNo(e.Code & 0xff), ExtendedCode: sqlite3.ErrNoExtended(e.Code),
		}}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	var row []driver.Value
	for {
		record, err := cutRecord(&rows)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		if row, err = driverValues(record, row[:0]); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		f(row)
	}
}

// driverValues appends the values of a record to row, as the driver returns them.
func driverValues(record []byte, row []driver.Value) ([]driver.Value, error) {
	d := decoder{rest: record[headerSize:]}
	_ = d.int64()
	for range binary.LittleEndian.Uint16(record[6:]) {
		row = append(row, d.value(d.uint(1)).Any())
	}
	if d.bad {
		return nil, errCorrupt
	}
	return row, nil
}

// queryError is an error of the driver with the words of SQLite, which the driver's own cannot be given.
type queryError struct {
	message string
	code    sqlite3.Error
}

// Error implements error.
func (e *queryError) Error() string { return e.message }

// Unwrap returns the error by which the kind is told.
func (e *queryError) Unwrap() error { return e.code }
