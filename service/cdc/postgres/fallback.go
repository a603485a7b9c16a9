package postgres

import (
	"context"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// streaming reports whether the source asks for transactions before they commit.
func (s *Engine) streaming() bool { return s.config.Streaming && !s.unstreamed.Load() }

// stopStreaming returns the error that ends a run after the server has sent err. Servers cannot decode some transactions
// that mix savepoints, rollbacks and changes of tables before these commit, and fail with an internal error each time that
// they come to them; once the transactions have committed they can. So the source gives streaming up for as long as it
// exists.
func (rx *receiver) stopStreaming(ctx context.Context, err error) error {
	s := rx.source
	if !s.streaming() || !strings.HasPrefix(sqlstate.Code(err), "XX") { // internal errors
		return rx.refused(ctx, err)
	}
	s.unstreamed.Store(true)
	s.logger().WarnContext(ctx, "the server has failed to decode a transaction before it committed: the source goes on as with streaming: false; "+
		"set that to be spared the failure after the next start of the app", "slot", s.config.SlotName, "error", err)
	return errs.New(errs.Unavailable, "read slot %q: the server has failed while it streamed, and is asked not to from now on, as with streaming: false: %w",
		s.config.SlotName, err)
}
