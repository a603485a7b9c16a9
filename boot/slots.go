package boot

import (
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/registry"
	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/registry"
)

// slots knows which replication slots the entries of an app name, and which of them the app has used since it was
// started. A slot that it has not used may be somebody else's.
type slots struct {
	lookupEnv func(name string) (string, bool)

	mu sync.Mutex
	// declared is the state that is applied, or about to be.
	declared *registry.State
	used     map[place]bool
}

// place is a slot on a server as its entry reaches it. A server may have several addresses.
type place struct {
	host           string
	port           int
	database, slot string
}

func newSlots(lookupEnv func(name string) (string, bool)) *slots {
	return &slots{lookupEnv: lookupEnv, declared: &registry.State{}, used: make(map[place]bool)}
}

func placeOf(resolved *cdcapi.PostgresConfig) place {
	return place{resolved.Host, resolved.Port, resolved.Database, resolved.SlotName}
}

// declare notes the state that is about to be applied.
func (s *slots) declare(state *registry.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared = state
}

// acquired notes that a source was ready on its slot.
func (s *slots) acquired(resolved *cdcapi.PostgresConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[placeOf(resolved)] = true
}

// released notes that a slot was dropped: one of the same name that is met later is another.
func (s *slots) released(resolved *cdcapi.PostgresConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.used, placeOf(resolved))
}

// resolve returns the configuration with the address that it comes to, whatever that is written as.
func (s *slots) resolve(config *cdcapi.PostgresConfig) (*cdcapi.PostgresConfig, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolveLocked(config)
}

// resolveLocked is resolve. s.mu must be held.
func (s *slots) resolveLocked(config *cdcapi.PostgresConfig) (*cdcapi.PostgresConfig, error) {
	address := config.Address()
	if !config.DBResource.IsZero() {
		entry := s.declared.Entry(config.DBResource)
		if entry == nil {
			return nil, errs.New(errs.NotFound, "db_resource: there is no entry %q", config.DBResource)
		}
		db, ok := entry.Config.(*sqlapi.PostgresConfig)
		if !ok {
			return nil, errs.New(errs.Invalid, "db_resource: %q is a %s", config.DBResource, entry.Kind)
		}
		address = &db.PostgresAddress
	}
	at, err := address.Resolve(s.lookupEnv)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err)
	}
	if at.Port == 0 {
		at.Port = 5432
	}
	resolved := *config
	resolved.DBResource = api.ID{}
	resolved.Host, resolved.Port, resolved.Database = at.Host, at.Port, at.Database
	resolved.Username, resolved.Password, resolved.Options = at.Username, at.Password, at.Options
	resolved.HostEnv, resolved.PortEnv, resolved.DatabaseEnv, resolved.UsernameEnv, resolved.PasswordEnv = "", "", "", "", ""
	return &resolved, nil
}

// fateOf says whether the app has used a slot, and which entries name one of that name in a database of that name: if
// it is the same one, it is theirs.
func (s *slots) fateOf(resolved *cdcapi.PostgresConfig) (used bool, heirs []*cdcapi.PostgresConfig, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for entry := range s.declared.Entries() {
		config, ok := entry.Config.(*cdcapi.PostgresConfig)
		if !ok || config.SlotName != resolved.SlotName {
			continue
		}
		heir, err := s.resolveLocked(config)
		if err != nil {
			return false, nil, errs.New(errs.Invalid, "slot %q is left on the server: it may be that of %s, whose server is not known: %w", config.SlotName, entry.ID, err)
		}
		if heir.Database == resolved.Database {
			heirs = append(heirs, heir)
		}
	}
	return s.used[placeOf(resolved)], heirs, nil
}
