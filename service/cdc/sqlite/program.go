package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// Settings are what a Go program may change of its database before it is opened. They begin with the defaults of the
// fields of entries, but for Database.Pool.MaxLifetime: the connection is kept.
type Settings struct {
	// Name is how errors, changes and the table wippy_cdc_offsets call the source, behind go: and in the form of an
	// entry's name. Default cdc.
	Name string
	// Database configures the database, and Source what is captured and how much is kept for streams. Allow, DBResource
	// and File mean nothing here.
	Database sqlapi.SQLiteConfig
	Source   api.SQLiteConfig
	// Program is what the program gives the driver.
	Program sqlite.Program
	// Logger is told of what the source does; the default tells nothing.
	Logger *slog.Logger
}

// DB is the database of a Go program that does not run the runtime, and the source of its changes. Its *sql.DB is the
// writer: one connection, of which every committed change is captured. A transaction or open rows hold up everything
// else on it: query Readers meanwhile.
type DB struct {
	*sql.DB
	id      registry.ID
	opened  *sqlite.DB
	catalog *source.Catalog
	cancel  context.CancelFunc
	done    chan struct{}
}

// Open opens a database, which must be closed, and captures what the program commits from then on. The name is a path,
// :memory:, or a DSN: see sqlite.ParseDSN. Each function may change the settings, those of the name included.
func Open(ctx context.Context, name string, change ...func(*Settings)) (*DB, error) {
	db, err := open(ctx, name, change)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(err), fmt.Errorf("cdc: open %q: %w", name, err))
	}
	return db, nil
}

func open(ctx context.Context, name string, change []func(*Settings)) (*DB, error) {
	s := &Settings{Name: "cdc", Logger: slog.New(slog.DiscardHandler)}
	s.Database.SetDefaults()
	s.Source.SetDefaults()
	s.Database.Pool.MaxLifetime = 0
	if err := sqlite.ParseDSN(name, &s.Database, &s.Program); err != nil {
		return nil, err
	}
	for _, f := range change {
		f(s)
	}
	id := registry.ID{Namespace: "go", Name: s.Name}
	s.Source.DBResource = id
	if err := errors.Join(s.check(), s.Database.Validate(), s.Source.Validate()); err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	dir, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	opened, err := sqlite.Open(ctx, id, &s.Database, dir, sqlite.ForProgram(&s.Program), sqlite.WithLogger(s.Logger))
	if err != nil {
		return nil, err
	}
	db := &DB{DB: opened.Pool(), id: id, opened: opened, catalog: source.NewCatalog(), done: make(chan struct{})}
	if err := db.serve(ctx, s); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (s *Settings) check() error {
	var p registry.Problems
	if !registry.IsName(s.Name) {
		p.Addf("Name", "%q: only letters, digits and . _ - are allowed", s.Name)
	}
	if s.Logger == nil {
		p.Addf("Logger", "is nil: leave it, or use slog.DiscardHandler")
	}
	return p.Err()
}

// serve begins to capture.
func (db *DB) serve(ctx context.Context, s *Settings) error {
	engine := &Engine{id: db.id, config: &s.Source, database: func() (*sqlite.DB, error) { return db.opened, nil }}
	db.catalog.Declare(engine)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db.cancel = cancel
	ready := make(chan struct{})
	var failed error
	go func() {
		defer close(db.done)
		failed = source.New(engine, db.catalog, s.Logger).Serve(running, func() { close(ready) })
	}()
	select {
	case <-ready:
		return nil
	case <-db.done:
		return cmp.Or(failed, ctx.Err())
	case <-ctx.Done():
		cancel()
		<-db.done
		return ctx.Err()
	}
}

// Stream opens a stream of the changes: see api.Streamer, whose errors it has.
func (db *DB) Stream(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	return db.catalog.Subscribe(ctx, db.id, opts)
}

// Readers returns a pool of connections that read the same file and write nothing: see sqlite.DB.
func (db *DB) Readers() *sql.DB { return db.opened.Readers() }

// Info describes the source.
func (db *DB) Info() api.SourceInfo {
	info, _ := db.catalog.Source(db.id)
	return info
}

// Stats returns the figures of the source.
func (db *DB) Stats() api.Stats { return db.catalog.Stats()[0] }

// Close ends the streams, which deliver first what was committed before, and closes the database. It is idempotent.
func (db *DB) Close() error {
	db.cancel()
	<-db.done
	return db.opened.Close()
}
