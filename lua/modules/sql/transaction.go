package sql

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// transaction is what db:begin returns.
type transaction struct {
	session *session
	db      sqlapi.DB
	tx      *sql.Tx
	// owner is the coroutine that has begun it.
	owner *lua.LState
	// forget takes back the rollback at the end of the process.
	forget func()
}

func transactionMethods() map[string]func(L *lua.LState, t *transaction) int {
	return map[string]func(L *lua.LState, t *transaction) int{
		"query":   func(L *lua.LState, t *transaction) int { return t.run(L, (*session).query) },
		"execute": func(L *lua.LState, t *transaction) int { return t.run(L, (*session).execute) },
		"prepare": func(L *lua.LState, t *transaction) int { return t.session.prepare(L, t.db, t.tx, t) },
		"commit":  func(L *lua.LState, t *transaction) int { return t.end(L, "commit", t.tx.Commit) },
		"rollback": func(L *lua.LState, t *transaction) int {
			return t.end(L, "rollback", t.tx.Rollback)
		},
		"savepoint": func(L *lua.LState, t *transaction) int { return t.savepoint(L, "savepoint", "SAVEPOINT ") },
		"rollback_to": func(L *lua.LState, t *transaction) int {
			return t.savepoint(L, "rollback_to", "ROLLBACK TO SAVEPOINT ")
		},
		"release": func(L *lua.LState, t *transaction) int { return t.savepoint(L, "release", "RELEASE SAVEPOINT ") },
	}
}

// opened keeps account of a transaction until it has ended.
func (s *session) opened(L *lua.LState, db sqlapi.DB, tx *sql.Tx) *transaction {
	t := &transaction{session: s, db: db, tx: tx, owner: goroutineOf(L)}
	t.forget = s.process.OnEnd(func() {
		_ = tx.Rollback() // it may have ended already, and no script is left to be told
	})
	s.open = append(s.open, t)
	return t
}

func (t *transaction) run(L *lua.LState, do verb) int {
	return do(t.session, L, t.db, textRunner(t.tx, text(L)), L.Get(3))
}

// end ends the transaction with f. Whether f fails or not, the transaction is over and its connection free.
func (t *transaction) end(L *lua.LState, step string, f func() error) int {
	tried := false
	_, err := engine.Block(L, func(context.Context) (struct{}, error) {
		tried = true
		return struct{}{}, f()
	})
	if tried {
		t.session.open = slices.DeleteFunc(t.session.open, func(other *transaction) bool { return other == t })
		t.forget()
	}
	if err != nil {
		return engine.Fail(L, t.session.failure(t.db, step, err))
	}
	L.Push(lua.LTrue)
	return 1
}

// savepoint runs one of the statements that take the name of a savepoint.
func (t *transaction) savepoint(L *lua.LState, step, statement string) int {
	name, err := savepointName(L.Get(2))
	if err != nil {
		return misuse(L, t.db.ID(), step, err)
	}
	_, err = engine.Block(L, func(ctx context.Context) (sql.Result, error) { return t.tx.ExecContext(ctx, statement+name) })
	if err != nil {
		return engine.Fail(L, t.session.failure(t.db, step, err))
	}
	L.Push(lua.LTrue)
	return 1
}

// savepointName returns the name quoted as an identifier.
func savepointName(v lua.LValue) (string, error) {
	const longest = 63 // what Postgres keeps of an identifier
	name, ok := v.(lua.LString)
	if !ok || name == "" || len(name) > longest || strings.ContainsRune(string(name), 0) {
		return "", errs.New(errs.Invalid, "the savepoint is %s, must be a name of 1 to %d bytes without NUL", option.Describe(v), longest)
	}
	return `"` + strings.ReplaceAll(string(name), `"`, `""`) + `"`, nil
}
