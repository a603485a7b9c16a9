package main

import (
	"context"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// captured is a database of ours with a running source.
type captured struct {
	db      *sqlite.DB
	catalog *source.Catalog
	id      registry.ID
	stop    context.CancelFunc
	served  chan error
}

func openSource(ctx context.Context, file string, configure ...func(*api.SQLiteConfig)) (*captured, error) {
	id := registry.ID{Namespace: "bench", Name: "db"}
	dbConfig := &sqlapi.SQLiteConfig{File: file}
	dbConfig.SetDefaults()
	db, err := sqlite.Open(ctx, id, dbConfig, "")
	if err != nil {
		return nil, err
	}
	s := &captured{db: db, catalog: source.NewCatalog(), id: registry.ID{Namespace: "bench", Name: "cdc"}, served: make(chan error, 1)}
	directory := resource.New()
	directory.Publish(id, db)
	config := &api.SQLiteConfig{DBResource: id}
	config.SetDefaults()
	for _, set := range configure {
		set(config)
	}
	engine := cdcsqlite.New(s.id, config, directory)
	s.catalog.Declare(engine)
	serving := source.New(engine, s.catalog, slog.New(slog.DiscardHandler))
	serveCtx, stop := context.WithCancel(ctx)
	s.stop = stop
	ready := make(chan struct{})
	go func() { s.served <- serving.Serve(serveCtx, func() { close(ready) }) }()
	select {
	case <-ready:
		return s, nil
	case err := <-s.served:
		stop()
		return nil, err
	}
}

func (s *captured) close() error {
	s.stop()
	if err := <-s.served; err != nil {
		return err
	}
	return s.db.Close()
}
