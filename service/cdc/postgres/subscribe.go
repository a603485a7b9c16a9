package postgres

import (
	"context"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// subscribe opens a stream, with a snapshot if that is asked for.
func (r *run) subscribe(_ context.Context, opts api.StreamOptions) (api.Stream, error) {
	s, err := r.Log.Subscribe(opts)
	if err != nil {
		return nil, err
	}
	return &stream{Stream: s, closed: r.wake}, nil
}
