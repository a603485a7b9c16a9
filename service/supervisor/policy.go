package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// PanicError is the failure of a service that panicked.
type PanicError struct {
	// Value is what the service panicked with.
	Value any
	// Stack is where.
	Stack []byte
}

// Error implements error, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// serve runs the service once and turns a panic into an error.
func serve(ctx context.Context, service supervisor.Service, ready func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return service.Serve(ctx, ready)
}

// curable reports whether another attempt may succeed where this one ended with err.
func curable(err error) bool {
	if errs.Retryable(err) {
		return true
	}
	switch errs.KindOf(err) {
	case errs.Invalid, errs.PermissionDenied, errs.NotFound:
		return false
	default:
		return true
	}
}

// isCancellation reports whether err says no more than that ctx is done.
func isCancellation(ctx context.Context, err error) bool {
	return err == nil || errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))
}

// newDelays returns the delays between attempts.
func newDelays(r supervisor.Restart) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = min(r.InitialDelay, r.MaxDelay).Std()
	b.MaxInterval = r.MaxDelay.Std()
	b.Multiplier = r.BackoffFactor
	b.RandomizationFactor = r.Jitter
	return b
}

// withDefaults replaces what would make no sense as zero.
func withDefaults(l supervisor.Lifecycle) supervisor.Lifecycle {
	d := supervisor.DefaultLifecycle()
	if l.StartTimeout == 0 {
		l.StartTimeout = d.StartTimeout
	}
	if l.StopTimeout == 0 {
		l.StopTimeout = d.StopTimeout
	}
	if l.Restart.InitialDelay == 0 {
		l.Restart.InitialDelay = d.Restart.InitialDelay
	}
	if l.Restart.MaxDelay == 0 {
		l.Restart.MaxDelay = d.Restart.MaxDelay
	}
	if l.Restart.BackoffFactor == 0 {
		l.Restart.BackoffFactor = d.Restart.BackoffFactor
	}
	return l
}

// wait waits until d has passed or ctx is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// wrap says which operation on which service failed. The kind of err stays.
func wrap(operation, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("supervisor: %s %q: %w", operation, name, err)
}
