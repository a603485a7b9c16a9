package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// checkpoint is the row of a slot in the table wippy_cdc_offsets of its database: what was taken for certain. The
// server forgets what was confirmed to it last when it crashes; the table does not. A second row, whose slot ends in
// /snapshot, says that the bootstrap was delivered.
type checkpoint struct {
	slot string
	db   *sql.DB
	last pglogrepl.LSN
}

const (
	createOffsets = `CREATE TABLE IF NOT EXISTS ` + api.OffsetsTable + ` (
	slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())`
	findOffsets   = `SELECT to_regclass('` + api.OffsetsTable + `') IS NOT NULL`
	selectOffsets = `SELECT lsn FROM ` + api.OffsetsTable + ` WHERE slot = $1`
	writeOffsets  = `INSERT INTO ` + api.OffsetsTable + ` AS o (slot, lsn) VALUES ($1, $2)
	ON CONFLICT (slot) DO UPDATE SET lsn = greatest(o.lsn, excluded.lsn), updated_at = now()`
	// No slot has a name with a slash.
	delivered     = "/snapshot"
	deleteOffsets = `DELETE FROM ` + api.OffsetsTable + ` WHERE slot IN ($1, $1 || '` + delivered + `')`
)

// load returns the position that was saved last, 0 if there is none, and whether the bootstrap was delivered.
func (c *checkpoint) load(ctx context.Context) (lsn pglogrepl.LSN, bootstrapped bool, err error) {
	exists, err := c.exists(ctx)
	if err != nil || !exists {
		return 0, false, err
	}
	if lsn, _, err = c.read(ctx, c.slot); err == nil {
		c.last = lsn
		_, bootstrapped, err = c.read(ctx, c.slot+delivered)
	}
	return lsn, bootstrapped, c.about(ctx, "read", err)
}

func (c *checkpoint) read(ctx context.Context, name string) (lsn pglogrepl.LSN, found bool, err error) {
	err = c.db.QueryRowContext(ctx, selectOffsets, name).Scan(&lsn)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return lsn, err == nil, err
}

func (c *checkpoint) exists(ctx context.Context) (exists bool, err error) {
	err = c.db.QueryRowContext(ctx, findOffsets).Scan(&exists)
	return exists, c.about(ctx, "look for", err)
}

// save writes a position, if it is not what the table has already.
func (c *checkpoint) save(ctx context.Context, lsn pglogrepl.LSN) error {
	if lsn <= c.last {
		return nil
	}
	err := c.write(ctx, c.slot, lsn)
	if err == nil {
		c.last = lsn
	}
	return err
}

// bootstrap notes that the bootstrap was delivered.
func (c *checkpoint) bootstrap(ctx context.Context) error { return c.write(ctx, c.slot+delivered, 0) }

func (c *checkpoint) write(ctx context.Context, name string, lsn pglogrepl.LSN) error {
	_, err := c.db.ExecContext(ctx, writeOffsets, name, lsn.String())
	if sqlstate.Code(err) == "42P01" { // undefined_table
		if _, err = c.db.ExecContext(ctx, createOffsets); err == nil {
			_, err = c.db.ExecContext(ctx, writeOffsets, name, lsn.String())
		}
	}
	return c.about(ctx, "write", err)
}

// forget deletes the rows.
func (c *checkpoint) forget(ctx context.Context) error {
	exists, err := c.exists(ctx)
	if err != nil || !exists {
		return err
	}
	_, err = c.db.ExecContext(ctx, deleteOffsets, c.slot)
	return c.about(ctx, "delete from", err)
}

func (c *checkpoint) about(ctx context.Context, step string, err error) error {
	if err == nil {
		return nil
	}
	err = readOnly(classify(ctx, err))
	if sqlstate.Code(err) != readOnlyTransaction && errs.Is(err, errs.PermissionDenied) {
		err = fmt.Errorf("%w: type GRANT CREATE ON SCHEMA …, or have the table made by somebody else, see OPERATIONS.md", err)
	}
	return fmt.Errorf("%s %s: %w", step, api.OffsetsTable, err)
}
