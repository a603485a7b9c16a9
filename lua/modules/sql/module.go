// Package sql is the Lua module that runs statements on the databases of the app.
//
//	local sql = require("sql")
//	local db, err = sql.get("app:db")
//	local rows, err = db:query("SELECT id, name FROM users WHERE age > ?", {17})   -- {{id = 1, name = "Ada"}, …}
//	local done, err = db:execute("UPDATE users SET age = :age", {age = 36})        -- {last_insert_id, rows_affected}
//	local stmt, err = db:prepare("INSERT INTO users (name) VALUES (?)")            -- :query :execute :close
//	local tx, err = db:begin({read_only = true})                                   -- isolation, read_only
//	tx:query(…) tx:execute(…) tx:prepare(…) tx:commit() tx:rollback()
//	tx:savepoint("a") tx:rollback_to("a") tx:release("a")
//	db:type() db:release()
//
// # Parameters
//
// Parameters are one table: positions for ? or names for :name. Integral numbers up to ±2^53 are stored as integers,
// others as floats, strings as text, booleans as the database's own (1 and 0 on SQLite). sql.NULL is NULL; sql.as.int,
// float, text and binary choose the storage type, and sql.as.int takes integers of 64 bits as decimal strings.
//
// On Postgres, placeholders are $1, $2 and so on, there are no names, and a value must fit the type that the server
// expects: a string fits every type whose text form it is, sql.as.binary is for bytea.
//
// # Results
//
// A row is a table keyed by column name; two columns of one name are an error, so that none hides the other. Integers
// beyond ±2^53 are decimal strings, texts and blobs strings of exactly the bytes stored, NULL is absent. Values of
// Postgres' other types are strings in their text form, times with a zone in UTC; booleans are booleans. A result that
// takes more memory than the field max_result_bytes of the database allows is an INVALID error; what the statement has
// written before, as INSERT … RETURNING does, stays.
//
// # What is refused
//
// Statements on a SQLite database that reach other files, set pragmas of the whole connection or program, or change the
// table of checkpoints are PERMISSION_DENIED errors, unless the field allow of the database lists what the error names.
//
// # Transactions
//
// A SQLite database has one connection. While a coroutine has a transaction open, other calls of the same coroutine on
// the database would wait for it for ever; they are an INVALID error instead. Other coroutines and processes wait.
// A process that ends rolls back its open transactions.
package sql

import (
	"fmt"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module sql.
type Module struct{ databases resourceapi.Directory }

// New returns the module over the databases in the directory.
func New(databases resourceapi.Directory) *Module { return &Module{databases} }

// Name implements engine.Module.
func (*Module) Name() string { return "sql" }

// Open implements engine.Module.
func (m *Module) Open(L *lua.LState) *lua.LTable {
	s := &session{databases: m.databases, process: engine.FromState(L)}
	s.typedType = newTypedType(L)
	s.null = &lua.LUserData{Value: &typed{}, Env: L.Env, Metatable: s.typedType}
	s.dbType = newType(L, "database", databaseMethods())
	s.txType = newType(L, "transaction", transactionMethods())
	s.statementType = newType(L, "statement", statementMethods())
	t := L.CreateTable(0, 3)
	t.RawSetString("get", L.NewFunction(s.get))
	t.RawSetString("NULL", s.null)
	t.RawSetString("as", s.asFunctions(L))
	return t
}

// session is the module in one process. It is used with the lock of the process held.
type session struct {
	databases resourceapi.Directory
	process   *engine.Process
	// open lists the transactions that have not ended.
	open []*transaction

	null                                     *lua.LUserData
	typedType, dbType, txType, statementType *lua.LTable
}

// get is sql.get.
func (s *session) get(L *lua.LState) int {
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		L.ArgError(1, fmt.Sprintf("the ID is %s, must be a string like app:db", option.Describe(L.Get(1))))
	}
	id, err := registry.ParseID(string(name), s.process.ID().Namespace)
	if err != nil {
		L.ArgError(1, err.Error())
	}
	if _, err := s.lookup(id); err != nil {
		return engine.Fail(L, err)
	}
	L.Push(object(L, s.dbType, &database{session: s, id: id}))
	return 1
}

func (s *session) lookup(id registry.ID) (sqlapi.DB, error) {
	db, err := resourceapi.Get[sqlapi.DB](s.databases, id)
	if err != nil {
		return nil, fmt.Errorf("sql: database %q: %w", id, err)
	}
	return db, nil
}

// free returns an error if the coroutine of L would wait for itself: db has a single connection, and a transaction
// that this coroutine has begun, or that was left open by one that has ended, holds it.
func (s *session) free(L *lua.LState, db sqlapi.DB) error {
	if db.Pool().Stats().MaxOpenConnections != 1 {
		return nil
	}
	me := goroutineOf(L)
	mine := slices.ContainsFunc(s.open, func(tx *transaction) bool {
		return tx.db.Pool() == db.Pool() && (tx.owner == me || ended(tx.owner))
	})
	if mine {
		return errs.New(errs.Invalid, "this coroutine has a transaction open on the database, which has one connection: use the methods of the transaction, or end it first")
	}
	return nil
}

// goroutineOf returns the Lua thread that L was resumed from in the end: the process's own or one made by
// coroutine.spawn. Threads below it cannot run at the same time.
func goroutineOf(L *lua.LState) *lua.LState {
	for L.Parent != nil {
		L = L.Parent
	}
	return L
}

// ended reports whether no function runs in th any more.
func ended(th *lua.LState) bool {
	_, running := th.GetStack(1)
	return !running
}

// newType makes the metatable of one kind of object. Its methods get the object that they are called on.
func newType[T any](L *lua.LState, name string, methods map[string]func(L *lua.LState, self T) int) *lua.LTable {
	index := L.CreateTable(0, len(methods))
	for method, f := range methods {
		index.RawSetString(method, L.NewFunction(func(L *lua.LState) int {
			ud, ok := L.Get(1).(*lua.LUserData)
			if ok {
				if self, ok := ud.Value.(T); ok {
					return f(L, self)
				}
			}
			L.ArgError(1, name+" expected, call the method with a colon: "+name+":"+method+"()")
			return 0
		}))
	}
	mt := L.CreateTable(0, 2)
	mt.RawSetString("__index", index)
	mt.RawSetString("__metatable", lua.LString(name))
	return mt
}

func object(L *lua.LState, metatable *lua.LTable, v any) lua.LValue {
	return &lua.LUserData{Value: v, Env: L.Env, Metatable: metatable}
}
