package sqlite

import (
	"context"
	"fmt"

	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// Engine is a db.cdc.sqlite entry. Several may capture one database.
type Engine struct {
	id     registry.ID
	config *api.SQLiteConfig
	// database returns the database to capture, which must run.
	database func() (*sqlite.DB, error)
}

var _ source.Engine = (*Engine)(nil)

// New returns the engine of an entry, whose configuration must be valid; directory holds its database.
func New(id registry.ID, config *api.SQLiteConfig, directory resourceapi.Directory) *Engine {
	return &Engine{id: id, config: config, database: func() (*sqlite.DB, error) {
		db, err := resourceapi.Get[*sqlite.DB](directory, config.DBResource)
		if err != nil {
			return nil, fmt.Errorf("db_resource: %w", err)
		}
		return db, nil
	}}
}

// Info implements source.Engine.
func (e *Engine) Info() api.SourceInfo {
	return api.SourceInfo{
		ID:           e.id,
		Kind:         api.KindSQLite,
		Engine:       api.EngineSQLite,
		DBResource:   e.config.DBResource,
		Tables:       e.config.Tables,
		Snapshot:     e.config.Snapshot,
		Capabilities: api.Capabilities{Snapshot: true, BeforeImages: true, Replayable: e.config.Durable},
	}
}

// Limits implements source.Engine.
func (e *Engine) Limits() source.Limits {
	return source.Limits{
		Limits:         stream.Limits{LogBytes: e.config.LogBytes, Subscriptions: e.config.Subscriptions},
		StatusInterval: e.config.StatusInterval.Std(),
		AckInterval:    e.config.AckInterval.Std(),
	}
}

// Open implements source.Engine.
func (e *Engine) Open(ctx context.Context, run *source.Run) (source.Session, error) {
	db, err := e.database()
	if err != nil {
		return nil, err
	}
	s := &session{
		origin: origin{source: e.id, database: e.config.DBResource.String(), generation: run.Generation()}, db: db, tables: e.config.Tables,
		checkpoint: checkpoint{id: e.id, db: db}, closed: make(chan struct{}), logger: run.Logger(), counters: run.Counters(),
		retention: e.config.Retention, named: run.Consumers,
	}
	saved, err := s.checkpoint.load(ctx)
	s.saved, s.unloaded = saved.Checkpoint, err
	s.sequence.Store(saved.sequence)
	switch {
	case e.config.Durable:
		if err := s.keep(ctx, e.config); err != nil {
			return nil, err
		}
	case db.HasLog(e.id.String()):
		if err := s.leave(ctx); err != nil {
			return nil, err
		}
		run.Logger().InfoContext(ctx, "the source is not durable any more: its log was deleted")
	}
	return s, nil
}
