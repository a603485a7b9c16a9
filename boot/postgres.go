package boot

import (
	"context"

	api "github.com/wippy-cdc/runtime/api/registry"
	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	supervisorapi "github.com/wippy-cdc/runtime/api/supervisor"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/postgres"
)

func (r *runtime) postgresDatabases() api.Listener {
	build := typed(func(e entryOf[*sqlapi.PostgresConfig]) (supervisorapi.Service, error) {
		open := func(ctx context.Context) (sql.Database, error) {
			db, err := postgres.Open(ctx, e.ID, e.config, r.lookupEnv)
			if err != nil {
				return nil, err
			}
			return db, nil
		}
		return sql.NewService(e.ID, open, r.directory, r.log), nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		return r.directory.Declare(entry.ID)
	})
}

func (r *runtime) postgresSources() api.Listener {
	build := typed(func(e entryOf[*cdcapi.PostgresConfig]) (supervisorapi.Service, error) {
		return r.postgresSource(e.ID, e.config), nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		if config, ok := entry.Config.(*cdcapi.PostgresConfig); ok {
			r.postgres.Declare(cdcpostgres.Declaration(entry.ID, config))
		}
		return func() { r.postgres.Remove(entry.ID) }
	}).forgetting(func(ctx context.Context, entry *api.Entry) error {
		config, ok := entry.Config.(*cdcapi.PostgresConfig)
		if !ok {
			return nil
		}
		return r.postgresSource(entry.ID, config).Forget(ctx)
	}, leaving(func(before, after *cdcapi.PostgresConfig) bool {
		return before.SlotName != after.SlotName || before.DBResource != after.DBResource ||
			before.Host != after.Host || before.Port != after.Port || before.Database != after.Database
	}))
}

func (r *runtime) postgresSource(id api.ID, config *cdcapi.PostgresConfig) *cdcpostgres.Source {
	return cdcpostgres.NewSource(id, config, cdcpostgres.Settings{
		Directory: r.directory, Catalog: r.postgres, LookupEnv: r.lookupEnv, Logger: r.log,
	})
}
