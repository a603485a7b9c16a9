package boot

import (
	"context"
	"log/slog"
	"os"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	supervisorapi "github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/lua/engine"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/io"
	"github.com/wippy-cdc/runtime/lua/modules/json"
	"github.com/wippy-cdc/runtime/lua/modules/logger"
	"github.com/wippy-cdc/runtime/lua/modules/process"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/lua/modules/test"
	"github.com/wippy-cdc/runtime/lua/modules/time"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// runtime is everything that one run of an app is made of.
type runtime struct {
	dir        string
	log        *slog.Logger
	lookupEnv  func(name string) (string, bool)
	supervisor supervisorapi.Supervisor
	directory  *resource.Directory
	sqlite     *source.Catalog
	postgres   *source.Catalog
	sources    *cdcapi.Composite // over both
	slots      *slots
	engine     *engine.Engine
	terminal   *engine.Terminal
	// overwritten are database files that must not be opened again.
	overwritten overwritten
}

// newRuntime wires the parts together. Nothing runs yet; the supervisor is the caller's.
func newRuntime(s Settings, supervisor supervisorapi.Supervisor) *runtime {
	r := &runtime{
		dir: s.Dir, log: s.Logger, lookupEnv: s.LookupEnv, supervisor: supervisor,
		directory: resource.New(), sqlite: source.NewCatalog(), postgres: source.NewCatalog(),
		terminal: engine.NewTerminal(s.Stdin, s.Stdout, s.Stderr, s.Args),
	}
	if r.lookupEnv == nil {
		r.lookupEnv = os.LookupEnv
	}
	r.slots = newSlots(r.lookupEnv)
	r.sources = cdcapi.NewComposite(r.sqlite, r.postgres)
	r.engine = engine.New(engine.Settings{AppDir: s.Dir, Logger: s.Logger, Modules: modules(r.sources, r.directory)})
	return r
}

// modules are the built-ins that scripts may require.
func modules(sources cdcapi.Engine, directory resourceapi.Directory) []engine.Module {
	return []engine.Module{
		cdcmodule.New(sources),
		channel.New(),
		errors.New(),
		io.New(),
		json.New(),
		logger.New(),
		process.New(),
		sqlmodule.New(directory),
		test.New(),
		time.New(),
	}
}

// listeners is the part of the kind table that running an app needs.
func (r *runtime) listeners() map[api.Kind]api.Listener {
	listeners := make(map[api.Kind]api.Listener)
	for _, k := range kinds() {
		if k.listen != nil {
			listeners[k.read.Name] = k.listen(r)
		}
	}
	return listeners
}

// entryOf is an entry whose configuration is a C.
type entryOf[C any] struct {
	*api.Entry
	config C
}

// typed gives build entries with their configuration.
func typed[C any](build func(entryOf[C]) (supervisorapi.Service, error)) func(*api.Entry) (supervisorapi.Service, error) {
	return func(entry *api.Entry) (supervisorapi.Service, error) {
		config, ok := entry.Config.(C)
		if !ok {
			return nil, errs.New(errs.Internal, "boot: entry %q: its configuration is a %T", entry.ID, entry.Config)
		}
		return build(entryOf[C]{entry, config})
	}
}

func (r *runtime) sqliteDatabases() api.Listener {
	build := typed(func(e entryOf[*sqlapi.SQLiteConfig]) (supervisorapi.Service, error) {
		g := newGuarded(e.config, r)
		open := g.opening(func(ctx context.Context) (*sqlite.DB, error) { return sqlite.Open(ctx, e.ID, e.config, r.dir) })
		g.Service = sql.NewService(e.ID, open, r.directory, r.log)
		if e.config.File == sqlapi.InMemory {
			return g.Service, nil
		}
		return g, nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		return r.directory.Declare(entry.ID)
	})
}

func (r *runtime) sqliteSources() api.Listener {
	engineOf := func(entry *api.Entry) (*cdcsqlite.Engine, bool) {
		config, ok := entry.Config.(*cdcapi.SQLiteConfig)
		return cdcsqlite.New(entry.ID, config, r.directory), ok
	}
	build := typed(func(e entryOf[*cdcapi.SQLiteConfig]) (supervisorapi.Service, error) {
		return source.New(cdcsqlite.New(e.ID, e.config, r.directory), r.sqlite, r.log), nil
	})
	return newServiceListener(r.supervisor, r.log, build, func(entry *api.Entry) func() {
		if engine, ok := engineOf(entry); ok {
			r.sqlite.Declare(engine)
		}
		return func() { r.sqlite.Remove(entry.ID) }
	}).keeping(func(entry *api.Entry) kept {
		engine, ok := engineOf(entry)
		if !ok {
			return kept{}
		}
		return kept{where: engine.Info().DBResource, forget: engine.Release}
	})
}

func (r *runtime) processes() api.Listener { return r.engine.Processes() }

func (r *runtime) libraries() api.Listener { return r.engine.Libraries() }

func (r *runtime) hosts() api.Listener {
	return newServiceListener(r.supervisor, r.log, func(entry *api.Entry) (supervisorapi.Service, error) {
		return r.engine.NewHost(entry, nil)
	}, nil)
}

func (r *runtime) terminals() api.Listener {
	return newServiceListener(r.supervisor, r.log, func(entry *api.Entry) (supervisorapi.Service, error) {
		return r.engine.NewHost(entry, r.terminal)
	}, nil)
}

func (r *runtime) services() api.Listener {
	return newServiceListener(r.supervisor, r.log, func(entry *api.Entry) (supervisorapi.Service, error) {
		return r.engine.NewService(entry)
	}, nil)
}
