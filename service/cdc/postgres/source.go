package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	apisql "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// Settings is what a Source needs besides its configuration.
type Settings struct {
	// Directory holds the database that a db_resource names.
	Directory resource.Directory
	// Catalog is where the source is found while it runs; it must be declared there.
	Catalog *cdc.Catalog
	// LookupEnv reads the environment.
	LookupEnv func(name string) (string, bool)
	Logger    *slog.Logger
}

// Source reads one replication slot while it is being served. What happens to the connection ends Serve with a
// retryable error; started again, the source goes on from what was confirmed.
type Source struct {
	id       registry.ID
	config   *api.PostgresConfig
	settings Settings
	// shape is what was published when that was looked at last, also by the previous run; only Serve uses it.
	shape *shape
	// untold is what the next stream has to hear: what it goes on from misses something.
	untold atomic.Pointer[error]
	// unstreamed says that the server cannot stream what the slot has.
	unstreamed atomic.Bool
}

var _ supervisor.Service = (*Source)(nil)

// Declaration returns what the catalog must know of a source before it is served.
func Declaration(id registry.ID, config *api.PostgresConfig) cdc.Declaration {
	return cdc.Declaration{
		Info: api.SourceInfo{
			ID: id, Kind: api.KindPostgres, Engine: "postgres", DBResource: config.DBResource,
			Tables: config.Tables, Snapshot: config.Snapshot, Slot: config.SlotName, Publication: publicationOf(config),
			Streaming: config.Streaming, Failover: config.Failover, Temporary: config.Temporary,
			Capabilities: api.Capabilities{
				Snapshot: true, CaptureResume: !config.Temporary, CapturesExternalWrites: true,
			},
		},
		LogBytes: config.LogBytes,
	}
}

// NewSource returns the source of an entry. The configuration must be valid.
func NewSource(id registry.ID, config *api.PostgresConfig, settings Settings) *Source {
	return &Source{id: id, config: config, settings: settings}
}

// String implements supervisor.Service.
func (s *Source) String() string { return string(api.KindPostgres) + " " + s.id.String() }

// Serve implements supervisor.Service.
func (s *Source) Serve(ctx context.Context, ready func()) error {
	book, err := s.settings.Catalog.Begin(s.id)
	if err != nil {
		return err
	}
	err = s.run(ctx, book, ready)
	if ctx.Err() != nil {
		err = nil // it was stopped, whatever it was doing
	}
	book.End(err) // its reader has asked about this source, and need not be told which one it is
	return s.about(err)
}

// run reads the slot until ctx is done or something fails.
func (s *Source) run(ctx context.Context, book *cdc.Run, ready func()) error {
	r, err := s.open(ctx, book)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	book.Ready(r)
	ready()
	s.logger().InfoContext(ctx, "capture started", "slot", s.config.SlotName, "lsn", r.positions.confirmed.String())
	err = classify(ctx, r.serve(ctx))
	if ctx.Err() != nil {
		err = nil
	}
	book.End(err)
	if !r.discards() {
		r.Bar() // what was not handed over comes again in the next run
	}
	r.advance()
	r.Close(cmp.Or(s.about(err), errs.New(errs.Unavailable, "cdc: source %q was stopped or replaced; resubscribe once it runs", s.id)))
	r.farewell(ctx)
	s.logger().InfoContext(ctx, "capture ended", "slot", s.config.SlotName, "lsn", r.positions.confirmed.String())
	return err
}

func (s *Source) logger() *slog.Logger { return s.settings.Logger.With("source", s.id.String()) }

// about says which source err is about.
func (s *Source) about(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cdc: source %q: %w", s.id, err)
}

// endpoint finds out where the server is.
func (s *Source) endpoint() (*endpoint, error) {
	if !s.config.DBResource.IsZero() {
		db, err := resource.Get[apisql.PostgresDB](s.settings.Directory, s.config.DBResource)
		if err != nil {
			return nil, fmt.Errorf("db_resource: %w", err)
		}
		return newEndpoint(db.Settings())
	}
	settings, err := s.config.Address().Resolve(s.settings.LookupEnv)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	return newEndpoint(settings)
}
