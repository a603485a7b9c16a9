package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// runner runs one statement with its arguments: on the pool, in a transaction, or a prepared one.
type runner struct {
	text     string
	prepared bool
	query    func(ctx context.Context, args []any) (*sql.Rows, error)
	execute  func(ctx context.Context, args []any) (sql.Result, error)
}

// executor is what a pool and a transaction have in common.
type executor interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// textRunner returns the runner of a statement given as text.
func textRunner(on executor, text string) runner {
	return runner{
		text: text,
		query: func(ctx context.Context, args []any) (*sql.Rows, error) {
			return on.QueryContext(ctx, text, args...)
		},
		execute: func(ctx context.Context, args []any) (sql.Result, error) { return on.ExecContext(ctx, text, args...) },
	}
}

// preparedRunner returns the runner of a prepared statement.
func preparedRunner(stmt *sql.Stmt, text string) runner {
	return runner{
		text: text, prepared: true,
		query: func(ctx context.Context, args []any) (*sql.Rows, error) {
			return stmt.QueryContext(ctx, args...)
		},
		execute: func(ctx context.Context, args []any) (sql.Result, error) { return stmt.ExecContext(ctx, args...) },
	}
}

// text returns argument 2, a statement.
func text(L *lua.LState) string {
	s, ok := L.Get(2).(lua.LString)
	if !ok {
		L.ArgError(2, fmt.Sprintf("the statement is %s, must be a string", option.Describe(L.Get(2))))
	}
	return string(s)
}

// misuse raises err: what is wrong with the call step on a database, whatever its state.
func misuse(L *lua.LState, id registry.ID, step string, err error) int {
	return engine.Misuse(L, fmt.Errorf("sql: %s %q: %w", step, id, err))
}

// query runs r with params and pushes the rows.
func (s *session) query(L *lua.LState, db sqlapi.DB, r runner, params lua.LValue) int {
	args, err := arguments(params)
	if err != nil {
		return misuse(L, db.ID(), "query", err)
	}
	if args, err = r.fit(db, args); err != nil {
		return engine.Fail(L, s.failure(db, "query", err))
	}
	found, err := engine.Block(L, func(ctx context.Context) (*result, error) {
		rows, err := r.query(ctx, args)
		if err != nil {
			return nil, err
		}
		return collect(rows, boundOf(db, r.text))
	})
	if err != nil {
		return engine.Fail(L, s.failure(db, "query", marked(db, r.text, err)))
	}
	rows, err := found.table(L)
	if err != nil {
		return engine.Fail(L, s.failure(db, "query", err))
	}
	L.Push(rows)
	return 1
}

// execute runs r with params and pushes what it has done.
func (s *session) execute(L *lua.LState, db sqlapi.DB, r runner, params lua.LValue) int {
	args, err := arguments(params)
	if err != nil {
		return misuse(L, db.ID(), "execute", err)
	}
	if args, err = r.fit(db, args); err != nil {
		return engine.Fail(L, s.failure(db, "execute", err))
	}
	done, err := engine.Block(L, func(ctx context.Context) (sql.Result, error) { return r.execute(ctx, args) })
	if err != nil {
		return engine.Fail(L, s.failure(db, "execute", marked(db, r.text, err)))
	}
	t := L.CreateTable(0, 2)
	if id, err := done.LastInsertId(); err == nil {
		t.RawSetString("last_insert_id", engine.Integer(id))
	}
	if rows, err := done.RowsAffected(); err == nil {
		t.RawSetString("rows_affected", engine.Integer(rows))
	}
	L.Push(t)
	return 1
}

// marked adds to the error of a statement that Postgres does not understand how its parameters are written, if the
// statement may have one that is written as for SQLite.
func marked(db sqlapi.DB, text string, err error) error {
	state, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok || db.Type() != "postgres" || !strings.Contains(text, "?") {
		return err
	}
	switch state.SQLState() {
	case "42601", "42883": // syntax_error; undefined_function, for instance the operator =?
		return fmt.Errorf("%w; if a ? stands for a parameter, write $1, $2 and so on: postgres knows no ?", err)
	default:
		return err
	}
}

// failure returns the error of step on db, with a kind.
func (s *session) failure(db sqlapi.DB, step string, err error) error {
	return fmt.Errorf("sql: %s %q: %w", step, db.ID(), s.classify(db, err))
}

func (s *session) classify(db sqlapi.DB, err error) error {
	if errs.KindOf(err) != errs.Unknown {
		return err
	}
	if errors.Is(err, sql.ErrTxDone) {
		return errs.New(errs.Invalid, "the transaction has ended; begin a new one")
	}
	if c, ok := db.(sqlapi.Classifier); ok {
		if err = c.Classify(err); errs.KindOf(err) != errs.Unknown {
			return err
		}
	}
	if now, lookup := s.lookup(db.ID()); lookup != nil || now.Pool() != db.Pool() {
		return errs.New(errs.Unavailable, "the database was stopped: %w", err)
	}
	return err
}
