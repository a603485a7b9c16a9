package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/resource"
)

// postgres is a database that cannot be captured this way.
type postgres struct{}

func (postgres) ID() registry.ID { return dbID }
func (postgres) Type() string    { return "postgres" }
func (postgres) Pool() *sql.DB   { return nil }

// refusal serves a source that is expected to end before it is ready.
func (h *house) refusal(config *api.SQLiteConfig) error {
	h.t.Helper()
	err := h.source(cdcID, config).Serve(h.t.Context(), func() { require.Fail(h.t, "ready") })
	require.Error(h.t, err)
	info, _ := h.catalog.Source(cdcID)
	require.Equal(h.t, api.StateFaulted, info.State)
	require.EqualError(h.t, err, fmt.Sprintf("cdc: source %q: %v", cdcID, info.Err))
	return err
}

func TestSourceSaysWhyItCannotRun(t *testing.T) {
	h := &house{t: t, directory: resource.New(), catalog: source.NewCatalog(), log: slog.DiscardHandler}

	err := h.refusal(config())
	require.ErrorContains(t, err, `cdc: source "app:cdc": db_resource: `)
	require.Equal(t, errs.NotFound, errs.KindOf(err))

	withdraw := h.directory.Declare(dbID)
	err = h.refusal(config())
	require.ErrorContains(t, err, `app:db`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	withdraw()

	h.directory.Publish(dbID, postgres{})
	err = h.refusal(config())
	require.ErrorContains(t, err, `db_resource: resource "app:db": it is a postgres database`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}

func TestSourceOfAClosedDatabaseCanBeRetried(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, h.db.Close())
	err := h.refusal(config())
	if errs.KindOf(err) == errs.Invalid {
		t.Skip("built without capture")
	}
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
}

func TestCancelledSourceIsNotFaulted(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	connection, err := h.db.Pool().Conn(t.Context()) // keeps the source waiting
	require.NoError(t, err)
	defer func() { require.NoError(t, connection.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = source.Serve(ctx, func() { require.Fail(t, "ready") })
	require.NoError(t, err)
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, api.StateStopped, info.State)
}

func TestSourceMustBeDeclared(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	h.catalog.Remove(cdcID)
	err := source.Serve(t.Context(), func() { require.Fail(t, "ready") })
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.Equal(t, "db.cdc.sqlite app:cdc", source.String())
}
