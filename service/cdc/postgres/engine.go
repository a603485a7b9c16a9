package postgres

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Settings is what an Engine needs besides its configuration.
type Settings struct {
	// Directory holds the database that a db_resource names.
	Directory resourceapi.Directory
	// LookupEnv reads the environment.
	LookupEnv func(name string) (string, bool)
	Logger    *slog.Logger
	// Inspector knows which other sources run in this program.
	Inspector api.Inspector
	// Slots knows which slots the app has used; nil if nothing is ever to be released, see Engine.External.
	Slots *Slots
}

// Engine is a db.cdc.postgres entry: it reads one replication slot. What happens to the connection ends a run with a
// retryable error; the next one goes on from what was confirmed.
type Engine struct {
	id       registry.ID
	config   *api.PostgresConfig
	settings Settings
	// resolved is config with the address that the server had when the engine was made; nil if that is not known.
	resolved *api.PostgresConfig
	// shape is what was published when that was looked at last, also by the previous run; only the goroutine that
	// captures uses it.
	shape *shape
	// untold is what the next stream has to hear that begins with what is held; missing is what readers have to hear whose
	// position lies before it. The table says noted; unnoted could not be written, and the log says so. Those two belong to
	// the goroutine that captures.
	untold, missing atomic.Pointer[missing]
	noted, unnoted  *missing
	// most is what is kept of one transaction at all: maxTransaction, but in tests.
	most int64
	// unstreamed says that the server cannot stream what the slot has.
	unstreamed atomic.Bool
}

var _ source.Engine = (*Engine)(nil)

// New returns the engine of an entry, whose configuration must be valid.
func New(id registry.ID, config *api.PostgresConfig, settings Settings) *Engine {
	s := &Engine{id: id, config: config, settings: settings, most: maxTransaction}
	s.resolve(config)
	return s
}

// Info implements source.Engine.
func (s *Engine) Info() api.SourceInfo {
	return api.SourceInfo{
		ID: s.id, Kind: api.KindPostgres, Engine: api.EnginePostgres, DBResource: s.config.DBResource,
		Tables: s.config.Tables, Snapshot: s.config.Snapshot, Slot: s.config.SlotName, Publication: publicationOf(s.config),
		Streaming: s.config.Streaming, Failover: s.config.Failover, Temporary: s.config.Temporary,
		Capabilities: api.Capabilities{
			Snapshot: true, CaptureResume: !s.config.Temporary, Replayable: !s.config.Temporary, CapturesExternalWrites: true,
		},
	}
}

// Limits implements source.Engine.
func (s *Engine) Limits() source.Limits {
	return source.Limits{
		Limits:         stream.Limits{LogBytes: s.config.LogBytes, Subscriptions: s.config.Subscriptions},
		StatusInterval: s.config.StatusInterval.Std(),
		AckInterval:    s.config.AckInterval.Std(),
		SaveTimeout:    saveTimeout,
	}
}

func (s *Engine) logger() *slog.Logger { return s.settings.Logger.With("source", s.id.String()) }

// about says which source err is about.
func (s *Engine) about(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cdc: source %q: %w", s.id, err)
}

// endpoint finds out where the server is.
func (s *Engine) endpoint() (*endpoint, error) {
	if !s.config.DBResource.IsZero() {
		db, err := resourceapi.Get[sqlapi.PostgresDB](s.settings.Directory, s.config.DBResource)
		if err != nil {
			return nil, fmt.Errorf("db_resource: %w", err)
		}
		return newEndpoint(db.Settings())
	}
	settings, err := s.config.Address().Resolve(s.settings.LookupEnv)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	return newEndpoint(settings)
}
