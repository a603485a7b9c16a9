package postgres

import (
	"context"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Snapshot implements stream.Engine. What commits before the moment that the snapshot shows may come from the slot as
// well: the stream passes over it.
func (r *run) Snapshot(ctx context.Context, selection *stream.Selection) (stream.Snapshot, api.Position, error) {
	pinning, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	s, position, err := r.pin(pinning)
	if err != nil {
		if ctx.Err() != nil {
			return nil, api.Position{}, ctx.Err()
		}
		return nil, api.Position{}, r.pinError(ctx, pinning, err)
	}
	if err := s.selectTables(pinning, r, selection); err != nil {
		hangUp(ctx, s.conn)
		return nil, api.Position{}, classify(ctx, err)
	}
	return s, api.Behind(uint64(position)), nil
}

// NewDecoder implements stream.Engine.
func (r *run) NewDecoder() stream.Decoder { return &rowDecoder{origin: &r.origin} }

// Changed implements stream.Engine: it makes the source look whether streams are open.
func (r *run) Changed() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
	r.reading.interrupt()
}
