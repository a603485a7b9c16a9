package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// A program serves a source of Postgres itself, and has to serve it again when that has ended with an error.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config := new(cdc.PostgresConfig)
	config.SetDefaults()
	config.Host, config.Database, config.Username, config.PasswordEnv = "localhost", "shop", "shop", "PGPASSWORD"
	config.SlotName, config.Tables = "shop_program", []string{"orders"}
	if err := config.Validate(); err != nil {
		panic(err)
	}
	id, catalog := registry.ID{Namespace: "go", Name: "orders"}, source.NewCatalog()
	engine := postgres.New(id, config, postgres.Settings{LookupEnv: os.LookupEnv, Inspector: catalog, Logger: slog.Default()})
	catalog.Declare(engine)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- source.New(engine, catalog, slog.Default()).Serve(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		panic(err)
	}
	stream, err := catalog.Subscribe(ctx, id, cdc.StreamOptions{})
	if err != nil {
		panic(err)
	}
	defer stream.Close()
	for change, err := range cdc.All(ctx, stream) {
		if err != nil {
			panic(err)
		}
		fmt.Println(change.Op, change.Table.Name, change.Transaction.LSN)
	}
}
