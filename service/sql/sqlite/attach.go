package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// attachment is a sink on a database.
type attachment struct {
	sink   Sink
	tables []string
	// enforced is closed when the writer captures for this sink; live is set at the same moment.
	enforced chan struct{}
	live     bool
}

// filter is what all sinks of a database want together.
type filter struct {
	active, all bool
	tables      []string
}

// CanCapture reports whether the program was built with change capture.
func CanCapture() bool { return capture.Available() }

// Attach hands every transaction to sink that begins after Attach has returned, until the function returned
// is called. It waits for a transaction that is open now, until ctx is done. The error is of kind Invalid if
// the program was built without capture. Several sinks may be attached; each gets the changes of all tables
// that any of them asked for.
func (db *DB) Attach(ctx context.Context, sink Sink) (detach func(), err error) {
	if !CanCapture() {
		return nil, errs.New(errs.Invalid, "sqlite: attach to %q: this program was built without change capture: "+
			"build it with the tag sqlite_preupdate_hook, or by make build-wippy-local", db.id)
	}
	a := &attachment{sink: sink, tables: bareNames(sink.Tables()), enforced: make(chan struct{})}
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil, errs.New(errs.Unavailable, "sqlite: attach to %q: the database is closed", db.id)
	}
	db.sinks = append(db.sinks, a)
	db.filterVersion.Add(1)
	db.mu.Unlock()

	detach = func() { db.detach(a) }
	if err := db.enforce(ctx, a); err != nil {
		detach()
		return nil, errs.Wrap(errs.Unavailable, fmt.Errorf("sqlite: attach to %q: wait for the writer: %w", db.id, err))
	}
	return detach, nil
}

// enforce waits until the writer captures for a: it takes the connection, or, if a transaction was left open on it
// by BEGIN, waits for the statement that ends it.
func (db *DB) enforce(ctx context.Context, a *attachment) error {
	connection, err := db.pool.Conn(ctx)
	if err != nil {
		return err
	}
	err = connection.Raw(func(driverConn any) error {
		if c, ok := driverConn.(*conn); ok {
			c.session.engaged()
		}
		return nil
	})
	if closeErr := connection.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	select {
	case <-a.enforced:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (db *DB) detach(a *attachment) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if i := slices.Index(db.sinks, a); i >= 0 {
		db.sinks = slices.Delete(db.sinks, i, i+1)
		db.filterVersion.Add(1)
	}
}

func bareNames(tables []string) []string {
	if tables == nil {
		return nil
	}
	bare := make([]string, len(tables))
	for i, name := range tables {
		bare[i] = name
		if schema, table, qualified := strings.Cut(name, "."); qualified && strings.EqualFold(schema, "main") {
			bare[i] = table
		}
	}
	return bare
}

// filter returns what the sinks want together. db.mu must be held.
func (db *DB) filter() filter {
	f := filter{active: len(db.sinks) > 0 || db.durable.Load() != nil}
	for _, a := range db.sinks {
		f.all = f.all || a.tables == nil
		f.tables = append(f.tables, a.tables...)
	}
	if db.durable.Load() != nil {
		tables := db.durable.Load().log.Settings().Tables
		f.all = f.all || tables == nil
		f.tables = append(f.tables, bareNames(tables)...)
	}
	return f
}

// enforcedLocked marks all sinks as captured for. db.mu must be held.
func (db *DB) enforcedLocked() {
	for _, a := range db.sinks {
		if !a.live {
			a.live = true
			close(a.enforced)
		}
	}
}

func (db *DB) commit(c *Commit) {
	db.mu.Lock()
	defer db.mu.Unlock()
	gap := db.newsLocked()
	if gap > 0 && gap < c.Sequence {
		db.loseLocked(gap, api.GapExternalWrite, errExternal)
	}
	for _, a := range db.sinks {
		if a.live {
			a.sink.Committed(c)
		}
	}
	if gap > c.Sequence {
		db.loseLocked(gap, api.GapExternalWrite, errExternal)
	}
}

func (db *DB) loseLocked(sequence uint64, cause api.GapCause, err error) {
	for _, a := range db.sinks {
		if a.live {
			a.sink.Lost(sequence, cause, err)
		}
	}
}
