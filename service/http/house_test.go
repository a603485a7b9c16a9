//go:build sqlite_preupdate_hook

package http_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	httpservice "github.com/wippy-cdc/runtime/service/http"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

var (
	dbID  = registry.ID{Namespace: "app", Name: "db"}
	cdcID = registry.ID{Namespace: "app", Name: "cdc"}
)

// house is a database with a source, and a server that shows it.
type house struct {
	*site
	catalog *source.Catalog
	db      *sqlite.DB
	file    string
	// stop stops the source, start starts it again.
	stop, start func()
}

// newHouse makes a house whose source is durable, or not.
func newHouse(t *testing.T, durable bool, configure ...func(*httpservice.Settings)) *house {
	t.Helper()
	dir := t.TempDir()
	directory := resource.New()
	config := new(sqlapi.SQLiteConfig)
	config.SetDefaults()
	config.File = "app.db"
	cdc := new(api.SQLiteConfig)
	cdc.SetDefaults()
	cdc.DBResource, cdc.Durable = dbID, durable
	cdc.Subscriptions.MaxSubscriptions = 2048
	engine := cdcsqlite.New(cdcID, cdc, directory)
	h := &house{catalog: source.NewCatalog(), file: filepath.Join(dir, "app.db")}
	db, err := sqlite.Open(t.Context(), dbID, config, dir)
	require.NoError(t, err)
	h.db = db
	withdraw := directory.Publish(dbID, db)
	t.Cleanup(func() {
		withdraw()
		require.NoError(t, db.Close())
	})
	h.exec(t, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	h.exec(t, "CREATE TABLE orders (id INTEGER PRIMARY KEY, item BLOB)")
	h.catalog.Declare(engine)
	h.start = func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		ready, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			_ = source.New(engine, h.catalog, slog.New(slog.DiscardHandler)).Serve(ctx, func() { close(ready) })
		}()
		h.stop = func() { cancel(); <-ended }
		<-ready
	}
	h.start()
	t.Cleanup(func() { h.stop() })
	h.site = serve(t, func(s *httpservice.Settings) {
		s.Sources = h.catalog
		for _, f := range configure {
			f(s)
		}
	})
	return h
}

// outsider runs a statement by a connection that is not captured.
func (h *house) outsider(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", h.file+"?_busy_timeout=60000")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// exec runs a statement that commits.
func (h *house) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := h.db.Pool().ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}
