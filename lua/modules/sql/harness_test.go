package sql_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	iomodule "github.com/wippy-cdc/runtime/lua/modules/io"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// world runs scripts beside a real database app:db.
type world struct {
	*scripttest.World
	tb        testing.TB
	directory *resource.Directory
	db        *sqlite.DB
	withdraw  func()
	file      string
	configure []func(*sqlapi.SQLiteConfig)
}

func newWorld(tb testing.TB, configure ...func(*sqlapi.SQLiteConfig)) *world {
	tb.Helper()
	directory := resource.New()
	w := &world{tb: tb, directory: directory, file: filepath.Join(tb.TempDir(), "app.db"), configure: configure}
	withdraw := directory.Declare(scripttest.ID("db"))
	tb.Cleanup(withdraw)
	w.open()
	tb.Cleanup(func() { w.stop() })
	w.World = scripttest.New(tb, sqlmodule.New(directory), iomodule.New(), errorsmodule.New(), channel.New()) // its processes end before the database closes
	return w
}

// open starts the database.
func (w *world) open() {
	w.tb.Helper()
	cfg := new(sqlapi.SQLiteConfig)
	cfg.SetDefaults()
	cfg.File, cfg.ForeignKeys = w.file, true
	for _, f := range w.configure {
		f(cfg)
	}
	db, err := sqlite.Open(w.tb.Context(), scripttest.ID("db"), cfg, "")
	require.NoError(w.tb, err)
	w.db, w.withdraw = db, w.directory.Publish(scripttest.ID("db"), db)
}

// stop stops the database.
func (w *world) stop() {
	w.tb.Helper()
	w.withdraw()
	require.NoError(w.tb, w.db.Close())
}

// schema runs statements outside any script.
func (w *world) schema(statements string) {
	w.tb.Helper()
	_, err := w.db.Pool().ExecContext(w.tb.Context(), statements)
	require.NoError(w.tb, err)
}

// count returns the number of rows of a table.
func (w *world) count(table string) int {
	w.tb.Helper()
	var n int
	require.NoError(w.tb, w.db.Pool().QueryRowContext(w.tb.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// onDB runs body with db = sql.get("app:db"). In body, ok(…) fails the script with the error of a call, and
// err(…) returns kind and message of the error that a call must return.
func (w *world) onDB(body string, args ...any) any {
	w.tb.Helper()
	return w.Value(prelude+body, args...)
}

// listOnDB is onDB for a body that returns a list.
func (w *world) listOnDB(body string, args ...any) []any {
	w.tb.Helper()
	return w.List(prelude+body, args...)
}

const prelude = `
	local sql = require("sql")
	local function ok(v, e) if e then error(e) end return v end
	local function err(v, e)
		if v ~= nil or not e then error("expected nil and an error") end
		return {e:kind(), e:message()}
	end
	local db = ok(sql.get("app:db"))
`
