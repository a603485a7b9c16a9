package postgres

import (
	"iter"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Slots knows which replication slots the entries of an app name, and which of them the app has used since it was started.
// A slot that it has not used may be that of another program. Methods may be called from any goroutine.
type Slots struct {
	declared  func() iter.Seq[*registry.Entry]
	lookupEnv func(name string) (string, bool)

	mu   sync.Mutex
	used map[place]bool
}

// place is a slot on a server as its entry reaches it. A server may have several addresses.
type place struct {
	host           string
	port           int
	database, slot string
}

// NewSlots returns what is known of the slots of an app. declared yields the entries of the state that is applied, or
// about to be; it may be called from any goroutine.
func NewSlots(declared func() iter.Seq[*registry.Entry], lookupEnv func(name string) (string, bool)) *Slots {
	return &Slots{declared: declared, lookupEnv: lookupEnv, used: make(map[place]bool)}
}

func placeOf(resolved *api.PostgresConfig) place {
	return place{resolved.Host, resolved.Port, resolved.Database, resolved.SlotName}
}

// acquired notes that a source was ready on its slot.
func (s *Slots) acquired(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[at] = true
}

// dropped notes that a slot is gone: one of the same name that is met later is another.
func (s *Slots) dropped(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, at)
}

// isUsed reports whether the app has used a slot.
func (s *Slots) isUsed(at place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[at]
}

// resolve returns the configuration with the address that it comes to, whatever that is written as.
func (s *Slots) resolve(config *api.PostgresConfig) (*api.PostgresConfig, error) {
	address, err := s.addressOf(config)
	if err != nil {
		return nil, err
	}
	at, err := address.Resolve(s.lookupEnv)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	if at.Port == 0 {
		at.Port = 5432
	}
	resolved := *config
	resolved.DBResource = registry.ID{}
	resolved.Host, resolved.Port, resolved.Database = at.Host, at.Port, at.Database
	resolved.Username, resolved.Password, resolved.Options = at.Username, at.Password, at.Options
	resolved.HostEnv, resolved.PortEnv, resolved.DatabaseEnv, resolved.UsernameEnv, resolved.PasswordEnv = "", "", "", "", ""
	return &resolved, nil
}

// addressOf returns the address of a source, which may be that of the database that it refers to.
func (s *Slots) addressOf(config *api.PostgresConfig) (*sqlapi.PostgresAddress, error) {
	if config.DBResource.IsZero() {
		return config.Address(), nil
	}
	for entry := range s.declared() {
		if entry.ID != config.DBResource {
			continue
		}
		db, ok := entry.Config.(*sqlapi.PostgresConfig)
		if !ok {
			return nil, errs.New(errs.Invalid, "db_resource: %q is a %s", config.DBResource, entry.Kind)
		}
		return &db.PostgresAddress, nil
	}
	return nil, errs.New(errs.NotFound, "db_resource: there is no entry %q", config.DBResource)
}

// successors returns the configurations of the entries that name a slot of that name in a database of that name: if it is
// the same one, it is theirs.
func (s *Slots) successors(resolved *api.PostgresConfig) (all []*api.PostgresConfig, err error) {
	for entry := range s.declared() {
		config, ok := entry.Config.(*api.PostgresConfig)
		if !ok || config.SlotName != resolved.SlotName {
			continue
		}
		successor, err := s.resolve(config)
		if err != nil {
			return nil, errs.New(errs.Invalid, "slot %q is left on the server: it may be that of %s, whose server is not known: %w",
				config.SlotName, entry.ID, err)
		}
		if successor.Database == resolved.Database {
			all = append(all, successor)
		}
	}
	return all, nil
}
