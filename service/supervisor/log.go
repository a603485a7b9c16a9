package supervisor

import (
	"errors"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/supervisor"
)

// log tells of a change of state: what a user must know at warn and error, the course of things at debug.
func (c *child) log(ch change) {
	logger := c.logger.With("service", c.name)
	switch ch.state {
	case supervisor.Starting:
		logger.Debug("service starts", "attempt", ch.attempts)
	case supervisor.Running:
		logger.Debug("service is running", "attempt", ch.attempts)
	case supervisor.Completed:
		logger.Debug("service has completed")
	case supervisor.Backoff:
		logger.Warn("service has failed and is started again", append(failure(ch), "retry_in", ch.delay)...)
	case supervisor.Failed:
		logger.Error("service has failed", failure(ch)...)
	case supervisor.Stopped:
		logStopped(logger, ch)
	case supervisor.Unknown:
	}
}

func logStopped(logger *slog.Logger, ch change) {
	switch {
	case ch.abandon:
		logger.Error("service does not stop", "error", ch.err)
	case ch.err != nil:
		logger.Warn("service has stopped with an error", failure(ch)...)
	default:
		logger.Debug("service has stopped")
	}
}

func failure(ch change) []any {
	args := []any{"error", ch.err, "attempt", ch.attempts}
	if p, ok := errors.AsType[*PanicError](ch.err); ok {
		args = append(args, "stack", string(p.Stack))
	}
	return args
}
