package boot

import (
	"context"

	api "github.com/wippy-cdc/runtime/api/registry"
	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	supervisorapi "github.com/wippy-cdc/runtime/api/supervisor"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/source"
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
		serving := source.New(r.postgresEngine(e.ID, e.config), r.postgres, r.log)
		at, err := r.slots.resolve(e.config)
		if err != nil {
			return serving, nil //nolint:nilerr // the source says it as well, and is known by then
		}
		return &acquiring{serving, func() { r.slots.acquired(at) }}, nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		if config, ok := entry.Config.(*cdcapi.PostgresConfig); ok {
			r.postgres.Declare(r.postgresEngine(entry.ID, config))
		}
		return func() { r.postgres.Remove(entry.ID) }
	}).keeping(r.keepsSlot)
}

func (r *runtime) postgresEngine(id api.ID, config *cdcapi.PostgresConfig) *cdcpostgres.Engine {
	return cdcpostgres.New(id, config, cdcpostgres.Settings{
		Directory: r.directory, Inspector: r.postgres, LookupEnv: r.lookupEnv, Logger: r.log,
	})
}

// keepsSlot tells what an entry keeps on its server: slot, publication and checkpoint. They are taken back there, with
// what the server was reached by when the entry was added, also if db_resource points to another one by then.
func (r *runtime) keepsSlot(entry *api.Entry) kept {
	config, ok := entry.Config.(*cdcapi.PostgresConfig)
	if !ok {
		return kept{}
	}
	at, err := r.slots.resolve(config)
	if err != nil {
		return kept{}
	}
	return kept{where: keptSlot{placeOf(at), at.Publication == ""}, forget: func(ctx context.Context) error {
		used, heirs, err := r.slots.fateOf(at)
		if err != nil {
			return err
		}
		engine := r.postgresEngine(entry.ID, at)
		if !used {
			return engine.Abandon(ctx, heirs...)
		}
		err = engine.Forget(ctx, heirs...)
		if err == nil && len(heirs) == 0 {
			r.slots.released(at)
		}
		return err
	}}
}

// keptSlot is where an entry keeps its slot, and whether a publication of its own belongs to it.
type keptSlot struct {
	place
	publication bool
}

// acquiring is a source that tells when it has got its slot.
type acquiring struct {
	supervisorapi.Service
	acquired func()
}

// Serve implements supervisor.Service.
func (a *acquiring) Serve(ctx context.Context, ready func()) error {
	return a.Service.Serve(ctx, func() {
		a.acquired()
		ready()
	})
}
