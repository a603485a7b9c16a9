package boot

import (
	"context"
	"iter"
	"os"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	httpservice "github.com/wippy-cdc/runtime/service/http"
	"github.com/wippy-cdc/runtime/service/metrics"
	declarations "github.com/wippy-cdc/runtime/service/registry"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/postgres"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
	supervision "github.com/wippy-cdc/runtime/service/supervisor"
)

// runtime is everything that one run of an app is made of.
type runtime struct {
	Settings

	services *supervision.Supervisor
	// tell tells the services that the app ends.
	tell      context.CancelFunc
	listeners map[registry.Kind]registry.Listener
	applier   *declarations.Applier
	files     *sqlite.Files
	directory *resource.Directory
	sources   *source.Catalog
	sinks     *sink.Catalog
	slots     *cdcpostgres.Slots
	engine    *engine.Engine
	terminal  *engine.Terminal
	metrics   *metrics.Server // these two are nil until they are started
	http      *httpservice.Server
}

// newRuntime wires the parts together; no entry runs yet.
func newRuntime(ctx context.Context, s Settings) *runtime {
	r := &runtime{
		Settings: s, listeners: make(map[registry.Kind]registry.Listener),
		files: sqlite.NewFiles(s.Dir, s.Logger), directory: resource.New(), sources: source.NewCatalog(),
		terminal: engine.NewTerminal(s.Stdin, s.Stdout, s.Stderr, s.Args),
	}
	if r.LookupEnv == nil {
		r.LookupEnv = os.LookupEnv
	}
	ctx, r.tell = context.WithCancel(ctx)
	r.services = supervision.New(ctx, s.Logger)
	r.sinks = sink.NewCatalog(sink.Settings{
		Engine: r.sources, Encoder: encode.New(), Directory: r.directory, AppDir: s.Dir, Logger: s.Logger,
	})
	r.slots = cdcpostgres.NewSlots(r.declared, r.LookupEnv)
	r.engine = engine.New(engine.Settings{AppDir: s.Dir, Logger: s.Logger, Modules: modules.All(r.sources, r.directory, encode.New())})
	for _, k := range kinds(nil) {
		if k.listen != nil {
			r.listeners[k.read.Name] = k.listen(r)
		}
	}
	r.applier = declarations.NewApplier(r.listeners)
	return r
}

// declared yields the entries that run, or are about to.
func (r *runtime) declared() iter.Seq[*registry.Entry] { return r.applier.Declared().Entries() }

// listener is the listener of entries whose configuration is a C.
func listener[C registry.Config](r *runtime, plan func(entry *registry.Entry, config C) (supervision.Plan, error)) registry.Listener {
	return supervision.NewListener(r.services, r.Logger, func(entry *registry.Entry) (supervision.Plan, error) {
		config, ok := entry.Config.(C)
		if !ok {
			return supervision.Plan{}, errs.New(errs.Internal, "boot: entry %q: its configuration is a %T", entry.ID, entry.Config)
		}
		return plan(entry, config)
	})
}

func (r *runtime) sqliteDatabases() registry.Listener {
	return listener(r, func(entry *registry.Entry, config *sqlapi.SQLiteConfig) (supervision.Plan, error) {
		file := r.files.File(entry.ID, config)
		return r.database(entry, sql.NewService(entry.ID, file.Open, file.Watch, r.directory, r.Logger)), nil
	})
}

func (r *runtime) postgresDatabases() registry.Listener {
	return listener(r, func(entry *registry.Entry, config *sqlapi.PostgresConfig) (supervision.Plan, error) {
		open := func(ctx context.Context) (*postgres.DB, error) {
			return postgres.Open(ctx, entry.ID, config, r.LookupEnv)
		}
		return r.database(entry, sql.NewService(entry.ID, open, nil, r.directory, r.Logger)), nil
	})
}

func (r *runtime) database(entry *registry.Entry, service supervisor.Service) supervision.Plan {
	return supervision.Plan{Service: service, Declare: func() func() { return r.directory.Declare(entry.ID) }}
}

func (r *runtime) sqliteSources() registry.Listener {
	return listener(r, func(entry *registry.Entry, config *api.SQLiteConfig) (supervision.Plan, error) {
		e := cdcsqlite.New(entry.ID, config, r.directory)
		return r.source(e, e.External()), nil
	})
}

func (r *runtime) postgresSources() registry.Listener {
	return listener(r, func(entry *registry.Entry, config *api.PostgresConfig) (supervision.Plan, error) {
		e := cdcpostgres.New(entry.ID, config, cdcpostgres.Settings{
			Directory: r.directory, Inspector: r.sources, LookupEnv: r.LookupEnv, Logger: r.Logger, Slots: r.slots,
		})
		return r.source(e, e.External()), nil
	})
}

func (r *runtime) source(e source.Engine, external registry.ExternalState) supervision.Plan {
	return supervision.Plan{Service: source.New(e, r.sources, r.Logger), External: external, Declare: func() func() {
		r.sources.Declare(e)
		return func() { r.sources.Remove(e.Info().ID) }
	}}
}

// sinks is the listener of sinks whose configuration is a C.
func sinks[C sink.Config](r *runtime, kind func(id registry.ID, config C) sink.Kind) registry.Listener {
	return listener(r, func(entry *registry.Entry, config C) (supervision.Plan, error) {
		s := r.sinks.New(entry.ID, config.Sink(), kind(entry.ID, config))
		return supervision.Plan{Service: s, External: s.External(), Declare: func() func() { return r.sinks.Declare(s) }}, nil
	})
}

func (r *runtime) hosts(terminal *engine.Terminal) registry.Listener {
	return supervision.NewListener(r.services, r.Logger, func(entry *registry.Entry) (supervision.Plan, error) {
		host, err := r.engine.NewHost(entry, terminal)
		return supervision.Plan{Service: host}, err
	})
}

func (r *runtime) processServices() registry.Listener {
	return supervision.NewListener(r.services, r.Logger, func(entry *registry.Entry) (supervision.Plan, error) {
		service, err := r.engine.NewService(entry)
		return supervision.Plan{Service: service}, err
	})
}
