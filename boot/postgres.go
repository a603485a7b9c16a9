package boot

import (
	"context"
	"fmt"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/registry"
	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	supervisorapi "github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/cdc"
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

// postgresSources declares sources that this version cannot run.
func (r *runtime) postgresSources() api.Listener {
	build := typed(func(e entryOf[*cdcapi.PostgresConfig]) (supervisorapi.Service, error) {
		return unavailable{id: e.ID, catalog: r.postgres}, nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		if config, ok := entry.Config.(*cdcapi.PostgresConfig); ok {
			r.postgres.Declare(postgresDeclaration(entry.ID, config))
		}
		return func() { r.postgres.Remove(entry.ID) }
	})
}

func postgresDeclaration(id api.ID, config *cdcapi.PostgresConfig) cdc.Declaration {
	return cdc.Declaration{
		Info: cdcapi.SourceInfo{
			ID: id, Kind: cdcapi.KindPostgres, Engine: "postgres", DBResource: config.DBResource,
			Tables: config.Tables, Snapshot: config.Snapshot, Slot: config.SlotName, Publication: config.Publication,
			Streaming: config.Streaming, Failover: config.Failover, Temporary: config.Temporary,
		},
		LogBytes: config.LogBytes,
	}
}

// unavailable is a source of an engine that this version does not have.
type unavailable struct {
	id      api.ID
	catalog *cdc.Catalog
}

// String implements supervisor.Service.
func (u unavailable) String() string { return fmt.Sprintf("%s %s", cdcapi.KindPostgres, u.id) }

// Serve implements supervisor.Service: it fails for good, and the source says why.
func (u unavailable) Serve(context.Context, func()) error {
	err := errs.New(errs.Invalid, "%s sources are not available in this version", cdcapi.KindPostgres)
	run, beginErr := u.catalog.Begin(u.id)
	if beginErr != nil {
		return beginErr
	}
	run.End(err)
	return err
}
