package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

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
		logger.Warn("service has failed and is started again", append(c.again(ch), "retry_in", ch.delay)...)
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

// again is failure for one of many attempts. What an error has to say beyond its first line, such as a traceback, is told
// once: a dependency that is down for hours would fill the log with it. c.turn must be held.
func (c *child) again(ch change) []any {
	line, rest, _ := strings.Cut(ch.err.Error(), "\n")
	same := rest != "" && rest == c.told
	c.told = rest
	if !same {
		return failure(ch)
	}
	return attempted(ch, "error", line)
}

// attempted adds which attempt it was, unless the service was stable or is not started again.
func attempted(ch change, args ...any) []any {
	if ch.attempts == 0 {
		return args
	}
	return append(args, "attempt", ch.attempts)
}

func failure(ch change) []any {
	args := attempted(ch, "error", ch.err)
	if p, ok := errors.AsType[*PanicError](ch.err); ok {
		args = append(args, "stack", string(p.Stack))
	}
	return args
}

// Failure joins why services were not started, as failed has it by name, and why those of the names have failed for good,
// ordered by name.
func (s *Supervisor) Failure(names []string, failed map[string]error) error {
	for _, name := range names {
		if status := s.Status(name); status.State == supervisor.Failed {
			failed[name] = fmt.Errorf("%s: %w", name, status.Err)
		}
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		all = append(all, failed[name])
	}
	return errors.Join(all...)
}

// Report logs what could not be started, by name, as far as that was not done when it failed.
func (s *Supervisor) Report(failed map[string]error) {
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if _, logged := errors.AsType[*FailedError](failed[name]); !logged {
			s.logger.Error("entry is not started", "entry", name, "error", failed[name])
		}
	}
}
