package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/resource"
)

// patience bounds what a test waits for that must happen.
const patience = 60 * time.Second

var cdcID = registry.ID{Namespace: "app", Name: "cdc"}

// house is what a source lives in.
type house struct {
	*pgtest.Database
	t         testing.TB
	catalog   *source.Catalog
	directory *resource.Directory
}

// newHouse makes a database with two tables.
func newHouse(tb testing.TB) *house {
	tb.Helper()
	return in(tb, pgtest.New(tb))
}

func in(tb testing.TB, db *pgtest.Database) *house {
	tb.Helper()
	h := &house{Database: db, t: tb, catalog: source.NewCatalog(), directory: resource.New()}
	h.exec("CREATE TABLE users (id bigint PRIMARY KEY, name text); CREATE TABLE orders (id int PRIMARY KEY, item text)")
	return h
}

func (h *house) exec(statements string) { h.t.Helper(); h.Exec(h.t, statements) }

// transact runs statements in one transaction.
func (h *house) transact(statements ...string) { h.t.Helper(); h.Transact(h.t, statements...) }

// config returns the configuration of a source of tables, or of all if there are none.
func (h *house) config(tables ...string) *api.PostgresConfig {
	c := new(api.PostgresConfig)
	c.SetDefaults()
	c.Host, c.Port, c.Username, c.Password = h.Address()
	c.Database, c.SlotName, c.Tables = h.Name, h.Name, tables
	if len(tables) == 0 {
		c.Publication = "everything"
		h.exec("DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_publication WHERE pubname = 'everything') THEN " +
			"CREATE PUBLICATION everything FOR ALL TABLES; END IF; END $$")
	}
	c.StandbyInterval, c.StatusInterval = unit.Duration(200*time.Millisecond), unit.Duration(300*time.Millisecond)
	c.Subscriptions.MaxBytes = 1 << 40
	return c
}

// source declares a source and returns it.
func (h *house) source(config *api.PostgresConfig) *subject {
	h.t.Helper()
	require.NoError(h.t, config.Validate())
	h.catalog.Declare(cdcpostgres.New(cdcID, config, h.settings()))
	return h.subject(cdcID, config, h.settings())
}

// subject is a source with its engine.
type subject struct {
	*source.Source
	*cdcpostgres.Engine
}

func (h *house) subject(id registry.ID, config *api.PostgresConfig, settings cdcpostgres.Settings) *subject {
	engine := cdcpostgres.New(id, config, settings)
	return &subject{source.New(engine, h.catalog, settings.Logger), engine}
}

func (h *house) settings() cdcpostgres.Settings {
	return cdcpostgres.Settings{
		Inspector: h.catalog, Directory: h.directory, Logger: slog.New(slog.DiscardHandler),
		LookupEnv: func(string) (string, bool) { return "", false },
	}
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
func (h *house) serve(source *subject) *served {
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

// refusal serves a source that must not get ready, and returns why.
func (h *house) refusal(config *api.PostgresConfig) error {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	err := h.source(config).Serve(ctx, func() { h.t.Error("ready") })
	require.Error(h.t, err)
	require.NotContains(h.t, err.Error(), pgtest.Password)
	return err
}

func (h *house) subscribe(opts api.StreamOptions) api.Stream {
	h.t.Helper()
	s, err := h.catalog.Subscribe(h.t.Context(), cdcID, opts)
	require.NoError(h.t, err)
	h.t.Cleanup(s.Close)
	return s
}

func (h *house) info() api.SourceInfo {
	info, known := h.catalog.Source(cdcID)
	require.True(h.t, known)
	return info
}

func take(tb testing.TB, s api.Stream, n int) []*api.Change {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	changes := make([]*api.Change, n)
	for i := range changes {
		c, err := s.Next(ctx)
		require.NoError(tb, err, "change %d of %d", i, n)
		changes[i] = c
	}
	return changes
}

// lines describes changes: index op relation before -> after, and a ! on the last of its transaction.
func lines(changes []*api.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = fmt.Sprintf("%d %s %s%s ->%s", c.Index, c.Op, c.Table.Name, image(c.Before), image(c.After))
		if len(c.Unchanged) > 0 {
			all[i] += fmt.Sprint(" unchanged ", c.Unchanged)
		}
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

// eventually waits until f is true.
func eventually(tb testing.TB, f func() bool, message string) {
	tb.Helper()
	require.Eventually(tb, f, patience, 10*time.Millisecond, message)
}
