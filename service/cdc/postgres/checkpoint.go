package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// checkpoint is the row of a slot in the table wippy_cdc_offsets of its database: what was taken for certain. The
// server forgets what was confirmed to it last when it crashes; the table does not. A second row, whose slot ends in
// /snapshot, says that the bootstrap was delivered. Each names the system that it is of: a table may come with a dump.
type checkpoint struct {
	slot   string
	system system
	db     *sql.DB
	last   pglogrepl.LSN
	// bootstrapped says that the second row is there.
	bootstrapped bool
}

// saving is a row of the table.
type saving struct {
	found  bool
	lsn    pglogrepl.LSN
	system string
}

// saveTimeout is how long a checkpoint may take: nothing is confirmed before it is written, also if the server is far.
const saveTimeout = 5 * time.Second

const (
	createOffsets = `CREATE TABLE IF NOT EXISTS ` + api.OffsetsTable + ` (
	slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), system text, change integer, missed text)`
	addColumns = `ALTER TABLE ` + api.OffsetsTable + ` ADD COLUMN IF NOT EXISTS system text, ADD COLUMN IF NOT EXISTS change integer,
		ADD COLUMN IF NOT EXISTS missed text`
	findOffsets   = `SELECT to_regclass('` + api.OffsetsTable + `') IS NOT NULL`
	selectOffsets = `SELECT lsn, coalesce(to_jsonb(o)->>'system', '') FROM ` + api.OffsetsTable + ` AS o WHERE slot = $1`
	// A position of another system cannot be compared.
	writeOffsets = `INSERT INTO ` + api.OffsetsTable + ` AS o (slot, lsn, system) VALUES ($1, $2, $3)
	ON CONFLICT (slot) DO UPDATE SET lsn = CASE WHEN o.system = excluded.system THEN greatest(o.lsn, excluded.lsn) ELSE excluded.lsn END,
		system = excluded.system, updated_at = now()`
	// No slot has a name with a slash.
	delivered     = "/snapshot"
	deleteOffsets = `DELETE FROM ` + api.OffsetsTable + ` WHERE slot IN ($1, $1 || '` + delivered + `', $1 || '` + missed + `')`
)

// load returns the position that was saved last, and whether the bootstrap was delivered.
func (c *checkpoint) load(ctx context.Context) (position, bootstrap saving, err error) {
	exists, err := c.exists(ctx)
	if err != nil || !exists {
		return saving{}, saving{}, err
	}
	if position, err = c.read(ctx, c.slot); err == nil {
		bootstrap, err = c.read(ctx, c.slot+delivered)
	}
	return position, bootstrap, c.about(ctx, "read", err)
}

func (c *checkpoint) read(ctx context.Context, name string) (row saving, err error) {
	err = c.db.QueryRowContext(ctx, selectOffsets, name).Scan(&row.lsn, &row.system)
	if errors.Is(err, sql.ErrNoRows) {
		return saving{}, nil
	}
	row.found = err == nil
	return row, err
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
func (c *checkpoint) bootstrap(ctx context.Context) error {
	if c.bootstrapped {
		return nil
	}
	err := c.write(ctx, c.slot+delivered, 0)
	c.bootstrapped = err == nil
	return err
}

func (c *checkpoint) write(ctx context.Context, name string, lsn pglogrepl.LSN) error {
	return c.exec(ctx, writeOffsets, name, lsn.String(), c.system.String())
}

// exec runs a statement that writes to the table, which is made, or gets what it lacks, if need be.
func (c *checkpoint) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.db.ExecContext(ctx, statement, args...)
	missing := map[string]string{"42P01": createOffsets, "42703": addColumns}[sqlstate.Code(err)] // undefined_table, …_column
	if missing != "" {
		if _, err = c.db.ExecContext(ctx, missing); err == nil {
			_, err = c.db.ExecContext(ctx, statement, args...)
		}
	}
	return c.about(ctx, "write", err)
}

// delete deletes the rows, but for those of consumers.
func (c *checkpoint) delete(ctx context.Context) error { return c.remove(ctx, deleteOffsets, c.slot) }

// remove runs a statement that deletes rows, if there are any.
func (c *checkpoint) remove(ctx context.Context, statement string, args ...any) error {
	exists, err := c.exists(ctx)
	if err != nil || !exists {
		return err
	}
	_, err = c.db.ExecContext(ctx, statement, args...)
	return c.about(ctx, "delete from", err)
}

func (c *checkpoint) about(ctx context.Context, step string, err error) error {
	if err == nil {
		return nil
	}
	err = readOnly(classify(ctx, err))
	if sqlstate.Code(err) != readOnlyTransaction && errs.Is(err, errs.PermissionDenied) {
		err = fmt.Errorf("%w: type GRANT CREATE ON SCHEMA …, or have the table made with the statement in docs/postgres.md, "+
			"or, if there is one without the columns system, change and missed, type %s", err, addColumns)
	}
	return fmt.Errorf("%s %s: %w", step, api.OffsetsTable, err)
}
