package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// maxTransaction is how large a transaction may be captured.
const maxTransaction = 64 * unit.MiB

var (
	dbID  = registry.ID{Namespace: "app", Name: "db"}
	cdcID = registry.ID{Namespace: "app", Name: "cdc"}
)

// house is what a source lives in.
type house struct {
	t         testing.TB
	directory *resource.Directory
	catalog   *source.Catalog
	db        *sqlite.DB
	config    *sqlapi.SQLiteConfig
	dir       string
	withdraw  func()
	log       slog.Handler
}

// newHouse opens a database with two tables.
func newHouse(tb testing.TB, configure ...func(*sqlapi.SQLiteConfig)) *house {
	tb.Helper()
	h := &house{
		t: tb, directory: resource.New(), catalog: source.NewCatalog(), dir: tb.TempDir(), log: slog.DiscardHandler,
		config: new(sqlapi.SQLiteConfig),
	}
	h.config.SetDefaults()
	h.config.Allow = []string{sqlapi.AllowCheckpoint}
	h.config.File = "app.db"
	h.config.CaptureMemory, h.config.MaxTransactionBytes = unit.MiB, maxTransaction
	for _, f := range configure {
		f(h.config)
	}
	h.openDB()
	h.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, score REAL)")
	h.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, item ANY)")
	return h
}

func (h *house) openDB() {
	h.t.Helper()
	db, err := sqlite.Open(h.t.Context(), dbID, h.config, h.dir, sqlite.WithLogger(slog.New(h.log)))
	require.NoError(h.t, err)
	h.db, h.withdraw = db, h.directory.Publish(dbID, db)
	h.t.Cleanup(func() { _ = db.Close() })
}

// reopenDB closes the database and opens it again.
func (h *house) reopenDB() {
	h.t.Helper()
	h.withdraw()
	require.NoError(h.t, h.db.Close())
	h.openDB()
}

func (h *house) exec(query string, args ...any) {
	h.t.Helper()
	_, err := h.db.Pool().ExecContext(h.t.Context(), query, args...)
	require.NoError(h.t, err, query)
}

// transact runs statements in one transaction.
func (h *house) transact(statements ...string) {
	h.t.Helper()
	h.exec("BEGIN; " + strings.Join(statements, "; ") + "; COMMIT")
}

// config returns the configuration of a source of the given tables.
func config(tables ...string) *api.SQLiteConfig {
	c := new(api.SQLiteConfig)
	c.SetDefaults()
	c.DBResource, c.Tables = dbID, tables
	c.Subscriptions.MaxBytes = 1 << 40
	return c
}

// source declares a source and returns it.
func (h *house) source(id registry.ID, config *api.SQLiteConfig) *source.Source {
	engine := cdcsqlite.New(id, config, h.directory)
	h.catalog.Declare(engine)
	return source.New(engine, h.catalog, slog.New(h.log))
}

// served is a source that is being served.
type served struct {
	cancel context.CancelFunc
	ended  chan error
}

// stop stops the source and waits for it.
func (s *served) stop() error {
	s.cancel()
	return <-s.ended
}

// serve serves a source until the test ends, and waits until it is ready.
func (h *house) serve(source *source.Source) *served {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	s := &served{cancel: cancel, ended: make(chan error, 1)}
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.ended <- source.Serve(ctx, func() { close(ready) })
	}()
	h.t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case <-done:
		require.NoError(h.t, <-s.ended, "the source ended before it was ready")
	}
	return s
}

func (h *house) subscribe(id registry.ID, opts api.StreamOptions) api.Stream {
	h.t.Helper()
	s, err := h.catalog.Subscribe(h.t.Context(), id, opts)
	require.NoError(h.t, err)
	h.t.Cleanup(s.Close)
	return s
}

func take(tb testing.TB, s api.Stream, n int) []*api.Change {
	tb.Helper()
	changes := make([]*api.Change, n)
	for i := range changes {
		c, err := s.Next(tb.Context())
		require.NoError(tb, err, "change %d of %d", i, n)
		changes[i] = c
	}
	return changes
}

// lines describes changes: lsn.index op table before -> after, and a ! on the last of its transaction.
func lines(changes []*api.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = fmt.Sprintf("%s.%d %s %s%s ->%s", c.Transaction.LSN, c.Index, c.Op, c.Table.Name, image(c.Before), image(c.After))
		if c.Last {
			all[i] += " !"
		}
	}
	return all
}

func image(row []sqlapi.Value) string {
	var text strings.Builder
	for _, v := range row {
		fmt.Fprintf(&text, " %v", v.Any())
	}
	return text.String()
}
