package http

import (
	"context"
	"net"
)

// StartAt is Start with one door, at a listener, which needs the token "secret".
func StartAt(ctx context.Context, settings Settings, listener net.Listener) (*Server, error) {
	s, err := Start(ctx, settings)
	if err == nil {
		s.open(listener, newGuard(listener.Addr(), "secret", s.routes))
	}
	return s, err
}
