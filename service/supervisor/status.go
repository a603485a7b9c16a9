package supervisor

import (
	"iter"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// Statuses lists the entries that are to run, with their status: those to be started whose listener makes services.
func (s *Supervisor) Statuses(
	entries iter.Seq[*registry.Entry], listeners map[registry.Kind]registry.Listener,
) (all []supervisor.EntryStatus) {
	for entry := range entries {
		if _, runs := listeners[entry.Kind].(*Listener); runs && entry.Start {
			name := entry.ID.String()
			all = append(all, supervisor.EntryStatus{ID: name, Kind: string(entry.Kind), Status: s.Status(name)})
		}
	}
	return all
}
