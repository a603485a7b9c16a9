package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// Settings is what a Source needs besides its configuration.
type Settings struct {
	// Directory holds the database.
	Directory resource.Directory
	// Catalog is where the source is found while it runs; it must be declared there.
	Catalog *cdc.Catalog
	Logger  *slog.Logger
}

// Source captures what the writer of one database commits, while it is being served. Several sources may capture
// the same database.
type Source struct {
	id       registry.ID
	config   *api.SQLiteConfig
	settings Settings
}

var _ supervisor.Service = (*Source)(nil)

// Declaration returns what the catalog must know of a source before it is served.
func Declaration(id registry.ID, config *api.SQLiteConfig) cdc.Declaration {
	return cdc.Declaration{
		Info: api.SourceInfo{
			ID:           id,
			Kind:         api.KindSQLite,
			Engine:       "sqlite",
			DBResource:   config.DBResource,
			Tables:       config.Tables,
			Snapshot:     config.Snapshot,
			Capabilities: api.Capabilities{Snapshot: true, BeforeImages: true},
		},
		LogBytes: config.LogBytes,
	}
}

// NewSource returns the source of an entry. The configuration must be valid.
func NewSource(id registry.ID, config *api.SQLiteConfig, settings Settings) *Source {
	return &Source{id: id, config: config, settings: settings}
}

// String implements supervisor.Service.
func (s *Source) String() string { return string(api.KindSQLite) + " " + s.id.String() }

// Serve implements supervisor.Service. It ends with an Unavailable error when the database closes.
func (s *Source) Serve(ctx context.Context, ready func()) error {
	book, err := s.settings.Catalog.Begin(s.id)
	if err != nil {
		return err
	}
	err = s.run(ctx, book, ready)
	if ctx.Err() != nil {
		err = nil // it was stopped, whatever it was doing
	}
	book.End(err)
	return s.about(err)
}

// run captures until ctx is done or the database closes.
func (s *Source) run(ctx context.Context, book *cdc.Run, ready func()) error {
	db, err := resource.Get[sql.Capturer](s.settings.Directory, s.config.DBResource)
	if err != nil {
		return fmt.Errorf("db_resource: %w", err)
	}
	r := newRun(s, book, db)
	k := keeper{run: r, checkpoint: checkpoint{id: s.id, db: db}}
	k.begin(ctx)
	detach, err := db.Attach(ctx, r)
	if err != nil {
		r.Close(err)
		return fmt.Errorf("attach to %q: %w", s.config.DBResource, err)
	}
	book.Ready(r)
	ready()
	r.logger.InfoContext(ctx, "capture started", "generation", book.Generation(), "lsn", r.lsn())
	err = k.wait(ctx, s.config.StatusInterval.Std())
	if err != nil {
		err = errs.New(errs.Unavailable, "database %q was closed", s.config.DBResource)
	}
	detach()
	book.End(err)
	r.Close(cmp.Or(s.about(err), errs.New(errs.Unavailable, "cdc: source %q was stopped or replaced; resubscribe once it runs", s.id)))
	k.end(ctx)
	r.logger.InfoContext(ctx, "capture ended", "lsn", r.lsn())
	return err
}

func (s *Source) logger() *slog.Logger {
	return s.settings.Logger.With("source", s.id.String(), "database", s.config.DBResource.String())
}

// about says which source err is about.
func (s *Source) about(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cdc: source %q: %w", s.id, err)
}
