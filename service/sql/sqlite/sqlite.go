// Package sqlite runs SQLite databases in this process: one writer connection per database, wrapped so that
// everything it commits can be captured exactly.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// DB is an open SQLite database. It implements sql.Classifier of the API.
type DB struct {
	id        registry.ID
	pool      *sql.DB
	connector *connector
	// durable is the log of a durable source, nil if there is none. It is set before the writer is opened, or while it is held.
	durable atomic.Pointer[durable]
	// logger is told of what a durable log finds, nil if that is not wanted.
	logger *slog.Logger
	// program is what a Go program has given, nil for an entry.
	program *Program
	// reopened says that a connection of this process may have the file open.
	reopened bool
	// alone says that no other app may write the file; lock keeps them from it, nil if nothing does.
	alone bool
	lock  *appLock
	// sideCommits counts those of side connections.
	sideCommits atomic.Int64

	// filterVersion moves whenever the sinks change, so that the writer notices without a lock.
	filterVersion atomic.Uint64

	// gate is held for reading while a statement runs, and guards shut, which forbids any more: no sink would
	// be told of what a transaction that is still open would commit. It is taken before mu.
	gate sync.RWMutex
	shut bool

	// mu guards what follows. It is held while a sink is called.
	mu     sync.Mutex
	sinks  []*attachment
	closed bool
	// watching is the session of the writer while its hooks look for commits of others, nil while they do not.
	watching *captureSession
	// readers is the pool that Readers has made, nil if it was not called.
	readers *sql.DB
}

// Option says more of a database than its entry.
type Option func(*DB)

// WithLogger makes the database tell a logger what a durable log finds after a crash, and what cannot be kept in it.
func WithLogger(logger *slog.Logger) Option { return func(db *DB) { db.logger = logger } }

// ForProgram makes it the database of a Go program, and not that of an entry.
func ForProgram(program *Program) Option { return func(db *DB) { db.program = program } }

// Open opens the database of a db.sql.sqlite entry and checks that it can be used. A relative file starts from dir;
// missing directories are made. The caller closes the DB.
//
// Values are read as they are stored: unlike the bare driver, columns declared DATE or BOOLEAN are not converted.
func Open(ctx context.Context, id registry.ID, cfg *sqlapi.SQLiteConfig, dir string, options ...Option) (*DB, error) {
	file, err := preparePath(cfg.File, dir)
	if err != nil {
		return nil, openError(id, err)
	}
	db := &DB{id: id}
	for _, set := range options {
		set(db)
	}
	db.connector = &connector{db: db, cfg: cfg, file: file, program: db.program}
	if db.alone {
		if db.lock, err = lockApp(file, cfg); err != nil {
			return nil, openError(id, err)
		}
	}
	kept, err := db.openDurable(file)
	if err != nil {
		return nil, openError(id, errors.Join(err, db.lock.release()))
	}
	if kept != nil {
		db.durable.Store(kept)
		db.filterVersion.Add(1)
	}
	db.pool = sql.OpenDB(db.connector)
	db.pool.SetMaxOpenConns(1)
	db.pool.SetMaxIdleConns(1)
	if file != sqlapi.InMemory {
		db.pool.SetConnMaxLifetime(cfg.Pool.MaxLifetime.Std())
	}
	if err := db.pool.PingContext(ctx); err != nil {
		return nil, openError(id, errors.Join(db.Classify(db.explainAccess(err)), db.pool.Close(), db.lock.release()))
	}
	return db, nil
}

func openError(id registry.ID, err error) error {
	return errs.Wrap(errs.KindOf(err), fmt.Errorf("sqlite: open %q: %w", id, err))
}

func preparePath(file, dir string) (string, error) {
	if file == sqlapi.InMemory {
		return file, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	info, err := os.Stat(file)
	switch {
	case err == nil && info.IsDir():
		return "", errs.New(errs.Invalid, "%s is a directory: file must name a database file", file)
	case err == nil:
		return file, nil
	case errors.Is(err, os.ErrNotExist):
		return file, errs.Wrap(errs.Invalid, os.MkdirAll(filepath.Dir(file), 0o750))
	default:
		return "", errs.Wrap(errs.Invalid, err)
	}
}

// ID implements sql.DB.
func (db *DB) ID() registry.ID { return db.id }

// Type implements sql.DB.
func (db *DB) Type() string { return "sqlite" }

// MaxResultBytes implements sql.Bounded.
func (db *DB) MaxResultBytes() int64 { return int64(db.connector.cfg.MaxResultBytes) }

// Pool implements sql.DB.
func (db *DB) Pool() *sql.DB { return db.pool }

// abandon refuses all further statements and connections, because the file is no longer what was opened: see File. It
// waits for the statement that runs. Close must be called nevertheless.
func (db *DB) abandon() {
	db.connector.same.abandoned.Store(true)
	db.gate.Lock()
	defer db.gate.Unlock()
	db.shut = true
}

// Close waits for the statements that run now, closes the connection, and tells the sinks.
func (db *DB) Close() error {
	db.gate.Lock() // waits for the statement that runs
	db.shut = true
	db.gate.Unlock()
	err := errors.Join(db.closeReaders(), db.pool.Close())
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return err
	}
	db.closed = true
	for _, a := range db.sinks {
		a.sink.Closed()
	}
	db.sinks = nil
	return errors.Join(err, db.lock.release())
}
