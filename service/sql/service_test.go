package sql_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T) (*sql.Service, *resource.Directory) {
	t.Helper()
	cfg := &sqlapi.SQLiteConfig{File: "app.db"}
	cfg.SetDefaults()
	dir, id := t.TempDir(), registry.ID{Namespace: "app", Name: "db"}
	directory := resource.New()
	log := slog.New(slog.DiscardHandler)
	file := sqlite.NewFiles(dir, log).File(id, cfg)
	return sql.NewService(id, file.Open, file.Watch, directory, log), directory
}

func TestADatabaseIsPublishedWhileItsServiceRuns(t *testing.T) {
	t.Parallel()
	s, directory := newService(t)
	require.Equal(t, "database app:db", s.String())
	id := registry.ID{Namespace: "app", Name: "db"}
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ready, ended := make(chan struct{}), make(chan error)
		go func() { ended <- s.Serve(ctx, func() { close(ready) }) }()
		<-ready
		db, err := directory.Lookup(id)
		require.NoError(t, err)
		running, ok := db.(sqlapi.DB)
		require.True(t, ok)
		require.NoError(t, running.Pool().PingContext(t.Context()))
		cancel()
		require.NoError(t, <-ended)
		_, err = directory.Lookup(id)
		require.Equal(t, errs.NotFound, errs.KindOf(err))
		require.Error(t, running.Pool().PingContext(t.Context()))
	}
}

func TestAServiceFailsWithTheErrorOfOpen(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := sql.NewService(registry.ID{Namespace: "app", Name: "db"}, func(context.Context) (*sqlite.DB, error) {
		return nil, broken
	}, nil, resource.New(), slog.New(slog.DiscardHandler))
	err := s.Serve(t.Context(), func() { t.Error("ready") })
	require.ErrorIs(t, err, broken)
}

func TestAServiceEndsWithItsWatch(t *testing.T) {
	t.Parallel()
	lost := errors.New("lost")
	cfg := &sqlapi.SQLiteConfig{File: sqlapi.InMemory}
	cfg.SetDefaults()
	id, directory := registry.ID{Namespace: "app", Name: "db"}, resource.New()
	log := slog.New(slog.DiscardHandler)
	open := sqlite.NewFiles("", log).File(id, cfg).Open
	var db *sqlite.DB
	s := sql.NewService(id, func(ctx context.Context) (*sqlite.DB, error) {
		var err error
		db, err = open(ctx)
		return db, err
	}, func(context.Context) error {
		_, err := directory.Lookup(id)
		require.NoError(t, err, "it is published by then")
		return lost
	}, directory, log)
	require.Equal(t, lost, s.Serve(t.Context(), func() {}))
	require.Error(t, db.Pool().PingContext(t.Context()), "it is closed")

	s = sql.NewService(id, open, nil, directory, log)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, s.Serve(ctx, cancel), "it runs until it is told to end")
}
