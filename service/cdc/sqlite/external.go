package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// External returns what the source keeps in its database: its checkpoint, and its log if it is durable. One of the same ID begins anew after it was
// released.
func (e *Engine) External() registry.ExternalState { return inDatabase{e} }

// inDatabase is the external state of a source.
type inDatabase struct{ engine *Engine }

// Place implements registry.ExternalState.
func (i inDatabase) Place() any { return i.engine.config.DBResource }

// Release implements registry.ExternalState: the database must run.
func (i inDatabase) Release(ctx context.Context) error {
	db, err := i.engine.database()
	if err != nil {
		return fmt.Errorf("cdc: source %q: release: %w", i.engine.id, err)
	}
	if err := db.DropLog(ctx, i.engine.id.String()); err != nil {
		return err
	}
	c := &checkpoint{id: i.engine.id, db: db}
	err = db.WithSideConnection(ctx, func(ctx context.Context, connection *sql.DB) error {
		var tables int
		if err := connection.QueryRowContext(ctx, findOffsets).Scan(&tables); err != nil || tables == 0 {
			return err
		}
		_, err := connection.ExecContext(ctx, deleteOffsets, i.engine.id.String())
		return err
	})
	if errors.Is(err, sqlite.ErrInMemory) {
		return nil
	}
	return c.about("delete from", err)
}
