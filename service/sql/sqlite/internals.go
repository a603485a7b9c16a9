package sqlite

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// The driver keeps the handles that capture needs in unexported fields. This file alone reads them, and checks that
// they are what they seem.

// handleOf returns the sqlite3 of a connection.
func handleOf(conn *sqlite3.SQLiteConn) (unsafe.Pointer, error) {
	field := reflect.ValueOf(conn).Elem().FieldByName("db")
	if !field.IsValid() || field.Kind() != reflect.Pointer || field.IsNil() {
		return nil, errors.New("this version of the driver hides its connection handle: capture needs go-sqlite3 v1.14")
	}
	handle := field.UnsafePointer()
	if capture.Filename(handle) != conn.GetFilename("main") {
		return nil, errors.New("the driver's connection handle is not what it seems")
	}
	return handle, checkStatementFields()
}

// rawHandleOf is handleOf for a connection that was checked, or whose kind was.
func rawHandleOf(conn *sqlite3.SQLiteConn) unsafe.Pointer {
	return reflect.ValueOf(conn).Elem().FieldByName("db").UnsafePointer()
}

func checkStatementFields() error {
	t := reflect.TypeFor[sqlite3.SQLiteStmt]()
	tail, hasTail := t.FieldByName("t")
	stmt, hasStmt := t.FieldByName("s")
	if !hasTail || !hasStmt || tail.Type.Kind() != reflect.String || stmt.Type.Kind() != reflect.Pointer {
		return errors.New("this version of the driver hides its statements: capture needs go-sqlite3 v1.14")
	}
	return nil
}

// tailOf returns what followed the statement that was prepared, without white space around it.
func tailOf(stmt *sqlite3.SQLiteStmt) string {
	return reflect.ValueOf(stmt).Elem().FieldByName("t").String()
}

// stmtHandleOf returns the sqlite3_stmt, nil if the text was empty.
func stmtHandleOf(stmt *sqlite3.SQLiteStmt) unsafe.Pointer {
	return reflect.ValueOf(stmt).Elem().FieldByName("s").UnsafePointer()
}
