package sql

import (
	"context"
	"database/sql"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// database is what sql.get returns. It holds no connection and looks for the pool on each call, so that it goes on
// working after the database was restarted.
type database struct {
	session  *session
	id       registry.ID
	released bool
}

func databaseMethods() map[string]func(L *lua.LState, d *database) int {
	return map[string]func(L *lua.LState, d *database) int{
		"query":   func(L *lua.LState, d *database) int { return d.run(L, "query", (*session).query) },
		"execute": func(L *lua.LState, d *database) int { return d.run(L, "execute", (*session).execute) },
		"prepare": func(L *lua.LState, d *database) int { return d.prepare(L) },
		"begin":   func(L *lua.LState, d *database) int { return d.begin(L) },
		"type":    func(L *lua.LState, d *database) int { return d.kind(L) },
		"release": func(L *lua.LState, d *database) int { return d.release(L) },
	}
}

// use returns the running database, if the coroutine of L may wait for its connection.
func (d *database) use(L *lua.LState, step string) (sqlapi.DB, error) {
	if d.released {
		return nil, errs.New(errs.Invalid, "sql: %s %q: the handle was released; get a new one", step, d.id)
	}
	db, err := d.session.lookup(d.id)
	if err != nil {
		return nil, err
	}
	if err := d.session.free(L, db); err != nil {
		return nil, d.session.failure(db, step, err)
	}
	return db, nil
}

// verb is session.query or session.execute.
type verb func(s *session, L *lua.LState, db sqlapi.DB, r runner, params lua.LValue) int

func (d *database) run(L *lua.LState, step string, do verb) int {
	statement := text(L)
	db, err := d.use(L, step)
	if err != nil {
		return engine.Fail(L, err)
	}
	if leavesOpen(statement) {
		err := errs.New(errs.Invalid, "no value of the script would hold the transaction: begin it with db:begin(), and use the methods of what that returns")
		return engine.Fail(L, d.session.failure(db, step, err))
	}
	return do(d.session, L, db, textRunner(db.Pool(), statement), L.Get(3))
}

// leavesOpen reports whether a statement begins a transaction and does nothing else.
func leavesOpen(statement string) bool {
	statement = strings.TrimSpace(statement)
	if end := strings.IndexByte(statement, ';'); end >= 0 && end < len(statement)-1 {
		return false
	}
	words := strings.Fields(strings.ToUpper(strings.TrimSuffix(statement, ";")))
	return len(words) > 0 && (words[0] == "BEGIN" || words[0] == "SAVEPOINT" || words[0] == "START")
}

func (d *database) prepare(L *lua.LState) int {
	db, err := d.use(L, "prepare")
	if err != nil {
		return engine.Fail(L, err)
	}
	return d.session.prepare(L, db, db.Pool(), nil)
}

func (d *database) begin(L *lua.LState) int {
	opts, err := beginOptions(L.Get(2))
	if err != nil {
		return misuse(L, d.id, "begin", err)
	}
	db, err := d.use(L, "begin")
	if err != nil {
		return engine.Fail(L, err)
	}
	tx, err := engine.Block(L, func(ctx context.Context) (*sql.Tx, error) { return db.Pool().BeginTx(ctx, opts) })
	if err != nil {
		return engine.Fail(L, d.session.failure(db, "begin", err))
	}
	L.Push(object(L, d.session.txType, d.session.opened(L, db, tx)))
	return 1
}

func (d *database) kind(L *lua.LState) int {
	db, err := d.session.lookup(d.id)
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LString(db.Type()))
	return 1
}

func (d *database) release(L *lua.LState) int {
	d.released = true
	L.Push(lua.LTrue)
	return 1
}

// isolations are the levels that a script can ask for.
func isolations() []sql.IsolationLevel {
	return []sql.IsolationLevel{
		sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
	}
}

func beginOptions(v lua.LValue) (*sql.TxOptions, error) {
	levels := make(map[string]sql.IsolationLevel)
	var words []string
	for _, level := range isolations() {
		word := strings.ReplaceAll(strings.ToLower(level.String()), " ", "_")
		levels[word] = level
		words = append(words, word)
	}
	opts := new(sql.TxOptions)
	var isolation string
	err := option.Decode(v, option.Word("isolation", &isolation, words...), option.Flag("read_only", &opts.ReadOnly))
	opts.Isolation = levels[isolation]
	return opts, err
}
