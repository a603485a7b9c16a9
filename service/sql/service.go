// Package sql keeps the databases of db.sql.* entries open while they are supposed to run, whatever their engine.
package sql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Database is an open database that its user must close.
type Database interface {
	sqlapi.DB
	Close() error
}

// Service opens a database, publishes it while it runs, and closes it. It implements supervisor.Service.
type Service struct {
	id        registry.ID
	open      func(ctx context.Context) (Database, error)
	watch     func(ctx context.Context) error
	directory resourceapi.Directory
	log       *slog.Logger
}

// NewService returns the service of the entry id. Each Serve calls open, and then watch, which looks after the open
// database: it returns nil when its context is done, and an error as soon as the database must be closed. A nil watch has
// nothing to look after.
func NewService[D Database](
	id registry.ID, open func(ctx context.Context) (D, error), watch func(ctx context.Context) error,
	directory resourceapi.Directory, log *slog.Logger,
) *Service {
	if watch == nil {
		watch = func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}
	}
	opened := func(ctx context.Context) (Database, error) {
		db, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return db, nil
	}
	return &Service{id: id, open: opened, watch: watch, directory: directory, log: log}
}

// String implements supervisor.Service.
func (s *Service) String() string { return "database " + s.id.String() }

// Serve implements supervisor.Service.
func (s *Service) Serve(ctx context.Context, ready func()) error {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	withdraw := s.directory.Publish(s.id, db)
	s.log.InfoContext(ctx, "database open", "database", s.id.String(), "type", db.Type())
	ready()
	lost := s.watch(ctx)
	withdraw()
	if err := db.Close(); err != nil {
		return errors.Join(lost, fmt.Errorf("sql: close %q: %w", s.id, err))
	}
	return lost
}
