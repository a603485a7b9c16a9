package sqlite

import (
	"context"
	"time"
)

// warning is what the app's log was told of a consumer. The zero warning is that there is nothing to tell.
type warning struct {
	consumer string
	missed   bool
}

// warnOfSlowest says in the app's log, once, which consumer is about to miss what the retention does not keep, or has missed it.
func (s *session) warnOfSlowest(ctx context.Context) {
	sequence, name, ok := s.named().Slowest()
	state := s.db.LogState()
	var now warning
	lag, _ := s.db.LogBehind(sequence, state.Newest)
	switch {
	case !ok || sequence >= state.Newest:
	case sequence < state.Trimmed:
		now = warning{name, true}
	case nearly(lag, int64(s.retention.MaxBytes)),
		nearly(lag, state.Bytes) && nearly(int64(time.Since(state.Oldest)), int64(s.retention.MaxAge)):
		now = warning{name, false}
	}
	if now == s.warned {
		return
	}
	s.warned = now
	switch about := []any{"consumer", name, "lag_bytes", lag, "max_bytes", s.retention.MaxBytes.String(), "max_age", s.retention.MaxAge.String()}; {
	case now == warning{}:
	case now.missed:
		s.logger.WarnContext(ctx, "a consumer has missed changes: they were kept no longer than retention says, and it is told of a gap; "+
			"let it begin anew with a snapshot, or end it by cdc.forget", about...)
	default:
		s.logger.WarnContext(ctx, "a consumer is about to miss changes, which are kept no longer than retention says; "+
			"start its reader, raise retention, or end it by cdc.forget", about...)
	}
}

// nearly reports whether most of something is used up.
func nearly(used, most int64) bool { return most > 0 && used >= most/10*8 }
