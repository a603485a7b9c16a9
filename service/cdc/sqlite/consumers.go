package sqlite

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// Consumers implements source.Session.
func (s *session) Consumers() (consumer.Store, error) {
	if s.durable {
		return &consumers{db: s.db}, nil
	}
	return nil, errs.New(errs.Invalid, "a source that keeps nothing has no consumers: give its entry durable: true")
}

// Newest implements source.Session.
func (s *session) Newest() api.Position { return api.Behind(s.sequence.Load()) }

// Latest implements source.Session.
func (s *session) Latest() api.Position { return s.Newest() }

// Ahead implements source.Session.
func (s *session) Ahead(p api.Position) bool { return p.Sequence > s.sequence.Load() }

// Lag implements source.Session.
func (s *session) Lag(p api.Position) (bytes, transactions int64) {
	newest := s.sequence.Load()
	if p.Sequence >= newest {
		return 0, 0
	}
	if !s.durable {
		return -1, int64(newest - p.Sequence) //nolint:gosec // it is positive
	}
	bytes, n := s.db.LogBehind(p.Sequence, newest)
	return bytes, int64(n) //nolint:gosec // there are not so many
}

// consumers keeps the consumers of a durable source beside its log. It implements consumer.Store.
type consumers struct {
	db *sqlite.DB
	// states are those that the file has, by name.
	states map[string]consumer.State
}

// Load implements consumer.Store.
func (c *consumers) Load(context.Context) ([]consumer.State, error) {
	var all []consumer.State
	if err := c.db.ReadConsumers(&all); err != nil {
		return nil, err
	}
	c.states = make(map[string]consumer.State, len(all))
	for _, state := range all {
		c.states[state.Name] = state
	}
	return all, nil
}

// Save implements consumer.Store.
func (c *consumers) Save(_ context.Context, changed []consumer.State) error {
	next := maps.Clone(c.states)
	for _, state := range changed {
		next[state.Name] = state
	}
	return c.write(next)
}

// Delete implements consumer.Store.
func (c *consumers) Delete(_ context.Context, name string) error {
	next := maps.Clone(c.states)
	delete(next, name)
	return c.write(next)
}

// write replaces the file as a whole.
func (c *consumers) write(states map[string]consumer.State) error {
	all := slices.SortedFunc(maps.Values(states), func(a, b consumer.State) int { return cmp.Compare(a.Name, b.Name) })
	if err := c.db.WriteConsumers(all); err != nil {
		return err
	}
	c.states = states
	return nil
}

// Transaction implements stream.Snapshot.
func (s *snapshot) Transaction() *api.Transaction { return &s.header }
