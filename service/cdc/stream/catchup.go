package stream

import (
	"log/slog"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// farBehind is how much has to lie behind the beginning of a stream for the log of the program to tell how it gets on.
const farBehind = 16 * unit.MiB

// catchUp tells the log of the program how a stream gets on that has begun far behind. It belongs to the goroutine that reads.
type catchUp struct {
	lag             func(api.Position) (bytes, transactions int64)
	began, reportAt time.Time
	transactions    int
}

// CatchUp tells in the log of the program how a stream gets on that begins behind a position, if much lies behind that; lag tells how
// much.
func (s *Stream) CatchUp(after api.Position, lag func(api.Position) (bytes, transactions int64)) {
	bytes, transactions := lag(after)
	if bytes < int64(farBehind) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.catching = &catchUp{lag: lag, began: now, reportAt: now.Add(reportInterval)}
	logger := s.catchUpLogger()
	if transactions >= 0 {
		logger = logger.With("transactions", transactions)
	}
	logger.Info("a stream begins far behind", "behind", unit.Size(bytes).String())
}

// advanced counts a transaction that was read, and tells from time to time how far the stream is.
func (s *Stream) advanced(sequence uint64) {
	c := s.catching
	if c == nil {
		return
	}
	if now := time.Now(); now.After(c.reportAt) {
		c.reportAt = now.Add(reportInterval)
		bytes, _ := c.lag(api.Behind(sequence))
		s.catchUpLogger().Info("a stream is catching up", "read", c.transactions, "behind", unit.Size(bytes).String())
	}
	c.transactions++
}

// caughtUp tells that the stream has read everything.
func (s *Stream) caughtUp() {
	if c := s.catching; c != nil {
		s.catchUpLogger().Info("a stream has caught up", "read", c.transactions, "duration", time.Since(c.began).Round(time.Millisecond))
	}
	s.catching = nil
}

func (s *Stream) catchUpLogger() *slog.Logger {
	s.streams.roster.mu.Lock()
	defer s.streams.roster.mu.Unlock()
	logger := s.streams.settings.Logger.With("reader", s.opts.Reader)
	if s.consumer != "" {
		logger = logger.With("consumer", s.consumer)
	}
	return logger
}
