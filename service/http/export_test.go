package http

import (
	"context"
	"net"
	"time"
)

// SetSilence sets how long a client may say nothing.
func (s *Settings) SetSilence(silence time.Duration) { s.silence = silence }

// StartAt is Start with one door, at a listener, which needs the token "secret".
func StartAt(ctx context.Context, settings Settings, listener net.Listener) (*Server, error) {
	s, err := Start(ctx, settings)
	if err == nil {
		s.open(listener, newGuard(listener.Addr(), "secret", s.routes))
	}
	return s, err
}
