package postgres

import (
	"context"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// External returns what the source keeps on its server: slot, publication of its own and checkpoint. It is released there,
// by the address that the server had when the engine was made, also if db_resource leads to another one by then. It is nil
// if that address is not known.
func (s *Engine) External() registry.ExternalState {
	if s.resolved == nil {
		return nil
	}
	return &externalState{New(s.id, s.resolved, s.settings)}
}

// externalState is that of a source whose configuration has the address of its server.
type externalState struct{ source *Engine }

// keptSlot is where a source keeps its slot, and whether a publication of its own belongs to it.
type keptSlot struct {
	place
	publication bool
}

// Place implements registry.ExternalState.
func (e *externalState) Place() any {
	return keptSlot{placeOf(e.source.config), e.source.config.Publication == ""}
}

// Release implements registry.ExternalState.
func (e *externalState) Release(ctx context.Context) error {
	slots, config := e.source.settings.Slots, e.source.config
	successors, err := slots.successors(config)
	if err != nil {
		return err
	}
	used := slots.isUsed(placeOf(config))
	err = e.source.release(ctx, used, successors)
	if err == nil && used && len(successors) == 0 {
		slots.dropped(placeOf(config))
	}
	return err
}

// acquired notes that the source has got its slot.
func (s *Engine) acquired() {
	if s.resolved != nil {
		s.settings.Slots.acquired(placeOf(s.resolved))
	}
}

// resolve notes the address of the server. If it is not known the source says so itself, when it is started.
func (s *Engine) resolve(config *api.PostgresConfig) {
	if s.settings.Slots == nil {
		return
	}
	if resolved, err := s.settings.Slots.resolve(config); err == nil {
		s.resolved = resolved
	}
}
