package sql

import (
	"context"
	"database/sql"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// statement is what prepare returns.
type statement struct {
	session *session
	db      sqlapi.DB
	stmt    *sql.Stmt
	text    string
	// tx is the transaction that it was prepared in, nil if it belongs to the pool.
	tx     *transaction
	closed bool
	forget func()
}

func statementMethods() map[string]func(L *lua.LState, st *statement) int {
	return map[string]func(L *lua.LState, st *statement) int{
		"query":   func(L *lua.LState, st *statement) int { return st.run(L, "query", (*session).query) },
		"execute": func(L *lua.LState, st *statement) int { return st.run(L, "execute", (*session).execute) },
		"close":   func(L *lua.LState, st *statement) int { return st.close(L) },
	}
}

// prepare prepares argument 2 on a pool or in the transaction tx.
func (s *session) prepare(L *lua.LState, db sqlapi.DB, on executor, tx *transaction) int {
	query := text(L)
	stmt, err := engine.Block(L, func(ctx context.Context) (*sql.Stmt, error) { return on.PrepareContext(ctx, query) })
	if err != nil {
		return engine.Fail(L, s.failure(db, "prepare", marked(db, query, err)))
	}
	st := &statement{session: s, db: db, stmt: stmt, text: query, tx: tx}
	st.forget = s.process.OnEnd(func() {
		_ = stmt.Close() // its connection may be gone, and no script is left to be told
	})
	L.Push(object(L, s.statementType, st))
	return 1
}

func (st *statement) run(L *lua.LState, step string, do verb) int {
	err := st.usable(L)
	if err != nil {
		return engine.Fail(L, st.session.failure(st.db, step, err))
	}
	return do(st.session, L, st.db, preparedRunner(st.stmt, st.text), L.Get(2))
}

func (st *statement) usable(L *lua.LState) error {
	switch {
	case st.closed:
		return errs.New(errs.Invalid, "the statement was closed")
	case st.tx != nil:
		return nil
	default:
		return st.session.free(L, st.db)
	}
}

func (st *statement) close(L *lua.LState) int {
	if !st.closed {
		st.closed = true
		st.forget()
		_, err := engine.Block(L, func(context.Context) (struct{}, error) { return struct{}{}, st.stmt.Close() })
		if err != nil {
			return engine.Fail(L, st.session.failure(st.db, "close", err))
		}
	}
	L.Push(lua.LTrue)
	return 1
}
