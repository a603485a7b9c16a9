package cdc_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world runs scripts beside a real database app:db and its source app:cdc.
type world struct {
	*scripttest.World
	tb        testing.TB
	directory *resource.Directory
	catalog   *source.Catalog
	db        *sqlite.DB
	// stop ends the source app:cdc.
	stop func()
}

// newWorld returns a world whose source is configured by configure, which may be nil.
func newWorld(tb testing.TB, configure func(c *api.SQLiteConfig)) *world {
	tb.Helper()
	w := &world{tb: tb, directory: resource.New(), catalog: source.NewCatalog()}
	cfg := new(sqlapi.SQLiteConfig)
	cfg.SetDefaults()
	cfg.Allow = []string{sqlapi.AllowCheckpoint}
	cfg.File = filepath.Join(tb.TempDir(), "app.db")
	db, err := sqlite.Open(tb.Context(), scripttest.ID("db"), cfg, "")
	require.NoError(tb, err)
	w.db = db
	withdraw := w.directory.Publish(scripttest.ID("db"), db)
	tb.Cleanup(func() {
		withdraw()
		require.NoError(tb, db.Close())
	})
	w.stop = w.source("cdc", configure)
	tb.Cleanup(w.stop)
	w.World = scripttest.New(tb, cdcmodule.New(w.catalog, encode.New()), sqlmodule.New(w.directory), channel.New())
	return w
}

// source declares and serves a source until the function returned is called.
func (w *world) source(name string, configure func(c *api.SQLiteConfig)) (stop func()) {
	w.tb.Helper()
	cfg := new(api.SQLiteConfig)
	cfg.SetDefaults()
	cfg.DBResource = scripttest.ID("db")
	if configure != nil {
		configure(cfg)
	}
	w.catalog.Declare(cdcsqlite.New(scripttest.ID(name), cfg, w.directory))
	return w.serve(name, cfg)
}

func (w *world) serve(name string, cfg *api.SQLiteConfig) (stop func()) {
	w.tb.Helper()
	running := source.New(cdcsqlite.New(scripttest.ID(name), cfg, w.directory), w.catalog, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.tb.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- running.Serve(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		require.NoError(w.tb, err)
	}
	stopped := false
	return func() {
		cancel()
		if !stopped {
			stopped = true
			require.NoError(w.tb, <-ended)
		}
	}
}

// engine returns that of the source app:cdc, with its defaults.
func (w *world) engine(name string) *cdcsqlite.Engine {
	cfg := new(api.SQLiteConfig)
	cfg.SetDefaults()
	cfg.DBResource = scripttest.ID("db")
	return cdcsqlite.New(scripttest.ID(name), cfg, w.directory)
}

// schema runs statements outside any script.
func (w *world) schema(statements string) {
	w.tb.Helper()
	_, err := w.db.Pool().ExecContext(w.tb.Context(), statements)
	require.NoError(w.tb, err)
}

// active returns the number of open streams.
func (w *world) active() int {
	w.tb.Helper()
	info, ok := w.catalog.Source(scripttest.ID("cdc"))
	require.True(w.tb, ok)
	return info.Admission.Active
}

// In prelude, ok(…) fails the script with the error of a call, err(…) returns kind and message of the error that a
// call must return, and next(ch, n) receives n changes.
const prelude = `
	local cdc, sql = require("cdc"), require("sql")
	local function ok(v, e) if e then error(e) end return v end
	local function err(v, e)
		if v ~= nil or not e then error("expected nil and an error") end
		return {e:kind(), e:message()}
	end
	local function take(ch, n)
		local list = {}
		for i = 1, n do
			local change, open = ch:receive()
			if not open then error("the channel has ended after " .. i - 1) end
			list[i] = change
		end
		return list
	end
	local db = ok(sql.get("app:db"))
`
