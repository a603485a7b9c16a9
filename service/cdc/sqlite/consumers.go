package sqlite

import (
	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
)

// Consumers implements source.Session.
func (s *session) Consumers() (consumer.Store, error) {
	if s.durable {
		return nil, errs.New(errs.Invalid, "a SQLite source keeps no positions of consumers: keep the cursor, and open the stream with after")
	}
	return nil, errs.New(errs.Invalid, "a source that keeps nothing has no consumers: give its entry durable: true")
}

// Newest implements source.Session.
func (s *session) Newest() api.Position { return api.Behind(s.sequence.Load()) }

// Ahead implements source.Session.
func (s *session) Ahead(p api.Position) bool { return p.Sequence > s.sequence.Load() }

// Lag implements source.Session.
func (s *session) Lag(p api.Position) (bytes, transactions int64) {
	return -1, int64(s.sequence.Load() - p.Sequence) //nolint:gosec // nothing lies behind the newest
}

// Transaction implements stream.Snapshot.
func (s *snapshot) Transaction() *api.Transaction { return &s.header }
