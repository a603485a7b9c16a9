package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// checkpoint is the row of a source in the table wippy_cdc_offsets of its database. It is used by one goroutine.
//
// Its updated_at tells how it came about: with fractions of a second it was written by a source that went on, without
// them by one that was stopped in good order. Behind the latter last_seq is the last. Behind the former more may have
// been delivered, and those numbers must not be used again, since consumers drop what they have seen.
type checkpoint struct {
	id registry.ID
	db *sqlite.DB
	// last is what this run has written last, nil if nothing.
	last *position
}

// position is what a checkpoint remembers.
type position struct {
	source.Checkpoint
	sequence uint64
}

const (
	createOffsets = `CREATE TABLE IF NOT EXISTS ` + api.OffsetsTable + ` (
	source TEXT PRIMARY KEY,
	last_seq INTEGER NOT NULL DEFAULT 0,
	snapshot_done INTEGER NOT NULL DEFAULT 0,
	updated_at TEXT NOT NULL
)`
	findOffsets   = `SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = '` + api.OffsetsTable + `' COLLATE NOCASE`
	selectOffsets = `SELECT last_seq, snapshot_done, updated_at FROM main.` + api.OffsetsTable + ` WHERE source = ?`
	writeOffsets  = `INSERT INTO main.` + api.OffsetsTable + ` (source, last_seq, snapshot_done, updated_at) VALUES (?, ?, ?, ?)
	ON CONFLICT (source) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq),
		snapshot_done = max(snapshot_done, excluded.snapshot_done), updated_at = excluded.updated_at`
	deleteOffsets = `DELETE FROM main.` + api.OffsetsTable + ` WHERE source = ?`

	whileRunning = "2006-01-02T15:04:05.000000Z"
	whenStopped  = "2006-01-02T15:04:05Z"
	// No database commits more transactions in a second than this.
	sequencesPerSecond = 1_000_000
)

// load returns the position that a new run goes on from.
func (c *checkpoint) load(ctx context.Context) (position, error) {
	var tables int
	if err := c.db.Pool().QueryRowContext(ctx, findOffsets).Scan(&tables); err != nil || tables == 0 {
		return position{}, c.about("read", err)
	}
	var p position
	var written string
	err := c.db.Pool().QueryRowContext(ctx, selectOffsets, c.id.String()).Scan(&p.sequence, &p.Bootstrapped, &written)
	if errors.Is(err, sql.ErrNoRows) {
		return position{}, nil
	}
	if err != nil {
		return position{}, c.about("read", err)
	}
	at, err := time.Parse(time.RFC3339, written)
	if err != nil {
		return position{}, c.about("read", fmt.Errorf("updated_at: %w", err))
	}
	if p.Stopped = !strings.Contains(written, "."); !p.Stopped {
		p.sequence += uint64(max(time.Second, time.Since(at)).Seconds() * sequencesPerSecond)
	}
	return p, nil
}

// save writes a position, if it is not what the table has already. A database in memory has no table.
func (c *checkpoint) save(ctx context.Context, p position) error {
	if c.last != nil && p == *c.last {
		return nil
	}
	layout := whileRunning
	if p.Stopped {
		layout = whenStopped
	}
	err := c.db.WithSideConnection(ctx, func(ctx context.Context, connection *sql.DB) error {
		if _, err := connection.ExecContext(ctx, createOffsets); err != nil {
			return err
		}
		at := time.Now().UTC().Format(layout)
		_, err := connection.ExecContext(ctx, writeOffsets, c.id.String(), int64(p.sequence), p.Bootstrapped, at) //nolint:gosec // it fits
		return err
	})
	if err == nil || errors.Is(err, sqlite.ErrInMemory) {
		c.last = &p
		return nil
	}
	return c.about("write", err)
}

func (c *checkpoint) about(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cdc: source %q: %s %s: %w", c.id, step, api.OffsetsTable, err)
}
