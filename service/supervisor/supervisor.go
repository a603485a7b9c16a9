// Package supervisor keeps services running: it starts them, restarts those that fail after a growing delay, and
// stops them in good order.
//
// One suture supervisor owns the goroutines. Each service is one child of it, and the child owns the restart
// policy, because policies differ from service to service and suture's is shared by all its children. A child
// always returns suture.ErrDoNotRestart. Stopping cancels the child's own context and waits for the child:
// suture's RemoveAndWait blocks its whole supervisor when a service that has ended is removed with a time limit
// that runs out (v4.0.6).
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// errStopped is the cause of the contexts of services that are told to stop.
var errStopped = errors.New("the service is stopped")

// rootTimeout is how long the root waits for abandoned services when it closes. All others have ended by then.
const rootTimeout = time.Second

// Supervisor implements supervisor.Supervisor. Close must be called when it is no longer used.
type Supervisor struct {
	root   *suture.Supervisor
	logger *slog.Logger
	// told returns an error when the app is told to end.
	told    func() error
	cancel  context.CancelFunc
	done    <-chan error
	closing sync.Once

	// mu is taken before the lock of a child, never while its mu is held, and not while a child is waited for.
	mu       sync.Mutex
	children map[string]*child
	order    []*child
	closed   bool
	// unclean is how services have not ended well since the app is told to end.
	unclean map[string]error
}

var _ supervisor.Supervisor = (*Supervisor)(nil)

// New returns a running supervisor without services. The context's values, not its end, reach the services; with its end
// the app is told to end, and services must end well from there on: see Close.
func New(ctx context.Context, logger *slog.Logger) *Supervisor {
	s := &Supervisor{logger: logger, told: ctx.Err, children: make(map[string]*child), unclean: make(map[string]error)}
	s.root = suture.New("services", suture.Spec{EventHook: s.unexpected, Timeout: rootTimeout})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.done = s.root.ServeBackground(ctx)
	return s
}

// Start implements supervisor.Supervisor. Zero timeouts, delays and factors in lifecycle mean the defaults.
func (s *Supervisor) Start(ctx context.Context, name string, service supervisor.Service, lifecycle supervisor.Lifecycle) error {
	c := newChild(name, service, withDefaults(lifecycle), s.logger, s.note)
	if err := s.adopt(c); err != nil {
		return err
	}
	timer := time.NewTimer(c.lifecycle.StartTimeout.Std())
	defer timer.Stop()
	select {
	case <-c.settled:
		return wrap("start", name, c.firstErr)
	case <-timer.C:
		return errs.New(errs.Timeout, "supervisor: start %q: not ready after %s (start_timeout); it goes on in the background",
			name, c.lifecycle.StartTimeout)
	case <-ctx.Done():
		return wrap("start", name, context.Cause(ctx))
	}
}

func (s *Supervisor) adopt(c *child) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errs.New(errs.Unavailable, "supervisor: start %q: the supervisor is closed", c.name)
	}
	if s.children[c.name] != nil {
		return errs.New(errs.AlreadyExists, "supervisor: start %q: a service of this name is supervised already; stop it first", c.name)
	}
	s.children[c.name] = c
	s.order = append(s.order, c)
	s.root.Add(c)
	return nil
}

// Stop implements supervisor.Supervisor.
func (s *Supervisor) Stop(ctx context.Context, name string) error {
	s.mu.Lock()
	c := s.children[name]
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	err := c.stop(ctx)
	s.forget(c)
	return wrap("stop", name, err)
}

func (s *Supervisor) forget(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.children[c.name] == c {
		delete(s.children, c.name)
	}
	if i := slices.Index(s.order, c); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// Status implements supervisor.Supervisor.
func (s *Supervisor) Status(name string) supervisor.Status {
	s.mu.Lock()
	c := s.children[name]
	s.mu.Unlock()
	if c == nil {
		return supervisor.Status{State: supervisor.Unknown}
	}
	return c.snapshot()
}

// Ended reports whether the services of these names have all ended for good. A name that is not in use is that of one that
// has.
func (s *Supervisor) Ended(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !s.Status(name).State.Ended() })
}

// Wait waits until the services of these names have all ended for good, see Ended, or ctx is done.
func (s *Supervisor) Wait(ctx context.Context, names ...string) {
	for _, name := range names {
		s.mu.Lock()
		c := s.children[name]
		s.mu.Unlock()
		if c == nil {
			continue
		}
		select {
		case <-c.ended:
		case <-ctx.Done():
			return
		}
	}
}

// While returns a context that is done when ctx is, or when there were such services and Wait is over. stop must be called.
func (s *Supervisor) While(ctx context.Context, names ...string) (during context.Context, stop func()) {
	during, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	if len(names) > 0 {
		waiting.Go(func() {
			s.Wait(during, names...)
			cancel()
		})
	}
	return during, func() {
		cancel()
		waiting.Wait()
	}
}

// note notes how a service has ended. It is called with the turn of its child.
func (s *Supervisor) note(name string, ch change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ch.state != supervisor.Stopped || ch.err == nil || s.told() == nil && !s.closed:
	case ch.abandon:
		s.unclean[name] = fmt.Errorf("%s %w", name, ch.err)
	default:
		text, _, _ := strings.Cut(ch.err.Error(), "\n") // the log has the rest
		s.unclean[name] = fmt.Errorf("%s has stopped with an error: %s", name, text)
	}
}

// Close stops the services that are left, the youngest first, so that each ends before those that ran when it was
// started, and then the supervisor itself. Nothing can be started afterwards. The error tells which services did not end
// well since the app was told to end, or did not end in time.
func (s *Supervisor) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	left := slices.Clone(s.order)
	s.mu.Unlock()

	for _, c := range slices.Backward(left) {
		_ = s.Stop(ctx, c.name) // it is noted
	}
	var failed []error
	s.closing.Do(func() {
		s.cancel()
		if err := <-s.done; !errors.Is(err, context.Canceled) {
			failed = append(failed, err)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.unclean)) {
		failed = append(failed, s.unclean[name])
	}
	clear(s.unclean)
	return errors.Join(failed...)
}

// unexpected logs what suture reports of a child that panicked itself; everything else children log themselves.
func (s *Supervisor) unexpected(event suture.Event) {
	if e, ok := event.(suture.EventServicePanic); ok {
		s.logger.Error("supervision failed", "service", e.ServiceName, "panic", e.PanicMsg, "stack", e.Stacktrace)
	}
}
