package supervisor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// child is one supervised service: a suture service that runs the attempts.
type child struct {
	name      string
	service   supervisor.Service
	lifecycle supervisor.Lifecycle
	logger    *slog.Logger
	// tell is given each change of state, in order.
	tell func(name string, ch change)

	// settled is closed when the first attempt is ready, complete or failed; firstErr is set before.
	settled  chan struct{}
	firstErr error
	// ended is closed when Serve has returned.
	ended chan struct{}

	// turn is held while a change of state is made and told, so that changes are told in order. It is taken before the
	// lock of the supervisor, and that before mu.
	turn sync.Mutex
	// told is what the last failure had to say beyond its first line. It is guarded by turn.
	told string

	mu        sync.Mutex
	status    supervisor.Status
	cancel    context.CancelCauseFunc
	stopping  bool
	abandoned bool
}

func newChild(name string, service supervisor.Service, lifecycle supervisor.Lifecycle, logger *slog.Logger, tell func(string, change)) *child {
	return &child{
		name: name, service: service, lifecycle: lifecycle, logger: logger, tell: tell,
		settled: make(chan struct{}), ended: make(chan struct{}),
		status: supervisor.Status{State: supervisor.Starting, Since: time.Now()},
	}
}

// String implements fmt.Stringer, which suture logs.
func (c *child) String() string { return c.name }

// Serve implements suture.Service.
func (c *child) Serve(ctx context.Context) error {
	defer close(c.ended)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.cancel = cancel
	stopping := c.stopping
	c.mu.Unlock()
	if stopping {
		cancel(errStopped)
	}
	c.run(ctx)
	return suture.ErrDoNotRestart
}

// run makes attempts until the service has ended for good.
func (c *child) run(ctx context.Context) {
	delays := newDelays(c.lifecycle.Restart)
	var last error
	for n := 1; ctx.Err() == nil; n++ {
		stable, err := c.attempt(ctx, n)
		switch {
		case ctx.Err() != nil:
			if !isCancellation(ctx, err) {
				last = err
			}
		case err == nil:
			c.settle(nil)
			c.enter(change{state: supervisor.Completed, attempts: n})
			return
		default:
			if stable {
				n = 0
				delays.Reset()
			}
			if c.isFinal(err, n) {
				c.enter(change{state: supervisor.Failed, err: err, attempts: n})
				c.settle(err)
				return
			}
			delay := delays.NextBackOff()
			c.enter(change{state: supervisor.Backoff, err: err, attempts: n, delay: delay})
			c.settle(err)
			wait(ctx, delay)
		}
	}
	c.settle(context.Cause(ctx))
	c.enter(change{state: supervisor.Stopped, err: last})
}

// attempt runs the service once. It is stable if it was ready for at least the stable threshold.
func (c *child) attempt(ctx context.Context, n int) (stable bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.enter(change{state: supervisor.Starting, attempts: n})
	var once sync.Once
	var readyAt time.Time
	err = serve(ctx, c.service, func() {
		once.Do(func() {
			if ctx.Err() != nil {
				return
			}
			readyAt = time.Now()
			c.enter(change{state: supervisor.Running, attempts: n})
			c.settle(nil)
		})
	})
	// A call of ready that is under way is waited for; a later one must not undo the state that follows.
	once.Do(func() {})
	return !readyAt.IsZero() && time.Since(readyAt) >= c.lifecycle.StableThreshold.Std(), err
}

// isFinal decides whether the n-th failure in a row is the last.
func (c *child) isFinal(err error, n int) bool {
	limit := c.lifecycle.Restart.MaxAttempts
	return !curable(err) || (limit > 0 && n >= limit)
}

// settle lets Start return. It is called on the goroutine of Serve, and by ready.
func (c *child) settle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.settled:
	default:
		c.firstErr = err
		close(c.settled)
	}
}

// change is one change of state.
type change struct {
	state    supervisor.State
	err      error
	attempts int
	delay    time.Duration
	// abandon makes this the last change that is told.
	abandon bool
}

// enter makes a change of state, logs it and tells the supervisor.
func (c *child) enter(ch change) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	if c.abandoned {
		c.mu.Unlock()
		return
	}
	c.abandoned = ch.abandon
	c.status = supervisor.Status{State: ch.state, Err: ch.err, Attempts: ch.attempts, Since: time.Now()}
	c.mu.Unlock()

	c.log(ch)
	c.tell(c.name, ch)
}

func (c *child) snapshot() supervisor.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// stop cancels the service and waits for its end, for the stop timeout at most. A service that does not end in
// time is abandoned: nothing more is heard of it.
func (c *child) stop(ctx context.Context) error {
	c.mu.Lock()
	c.stopping = true
	if c.cancel != nil {
		c.cancel(errStopped)
	}
	c.mu.Unlock()

	timer := time.NewTimer(c.lifecycle.StopTimeout.Std())
	defer timer.Stop()
	var err error
	select {
	case <-c.ended:
		return nil
	case <-timer.C:
		err = errs.New(errs.Timeout, "has not ended after %s (stop_timeout); it is abandoned", c.lifecycle.StopTimeout)
	case <-ctx.Done():
		err = errs.New(errs.KindOf(ctx.Err()), "has not ended yet: %w; it is abandoned", context.Cause(ctx))
	}
	c.enter(change{state: supervisor.Stopped, err: err, abandon: true})
	return err
}
