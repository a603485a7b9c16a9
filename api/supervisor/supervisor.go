// Package supervisor defines how services run: what a service is, the lifecycle that users configure, and the
// states that can be observed.
package supervisor

import (
	"context"
	"time"

	"github.com/wippy-cdc/runtime/api/unit"
)

// Service is a supervised activity.
type Service interface {
	// Serve runs until ctx is done or the service cannot go on. It calls ready once, as soon as others can use
	// the service. It owns every goroutine it starts and returns only when they have ended.
	//
	// Returning nil means that the work is complete: the service is not started again. An error means failure:
	// the restart policy decides. An error that is not retryable (see errs.Retryable) and of kind Invalid,
	// PermissionDenied or NotFound will not be cured by a restart: the service fails at once.
	Serve(ctx context.Context, ready func()) error
	// String names the service in logs. It must not contain secrets.
	String() string
}

// Supervisor runs services and restarts those that fail. Methods may be called from any goroutine.
type Supervisor interface {
	// Start runs service under name, which must not be in use, and waits until it is ready, or has completed,
	// or its first attempt has failed, or lifecycle.StartTimeout has passed. An error tells why it is not
	// ready; the service stays supervised and is restarted in the background unless its state is Failed.
	Start(ctx context.Context, name string, service Service, lifecycle Lifecycle) error
	// Stop cancels the service and waits until it has ended, StopTimeout at most. A name that is not in use is
	// no error. After a time-out the service is abandoned and an error returned.
	Stop(ctx context.Context, name string) error
	// Status returns the state of the service, Unknown if there is none of that name.
	Status(name string) Status
}

// State is where a service is in its life.
type State string

// The states of a service.
const (
	// Unknown means that no service of that name is supervised.
	Unknown State = "unknown"
	// Starting means that Serve was called and is not ready yet.
	Starting State = "starting"
	// Running means that the service is ready.
	Running State = "running"
	// Backoff means that the service has failed and waits for its next attempt.
	Backoff State = "backoff"
	// Failed means that the service has failed for good.
	Failed State = "failed"
	// Completed means that Serve returned nil.
	Completed State = "completed"
	// Stopped means that the service was stopped.
	Stopped State = "stopped"
)

// Ended reports whether the service will not run again.
func (s State) Ended() bool { return s == Failed || s == Completed || s == Stopped || s == Unknown }

// Status is a snapshot of a service's life.
type Status struct {
	State State
	// Err is why the last attempt failed, nil if it did not.
	Err error
	// Attempts counts the starts since the service was last stable.
	Attempts int
	// Since is when State was entered.
	Since time.Time
}

// Lifecycle is what a user configures of an entry's life.
type Lifecycle struct {
	// AutoStart starts the service when the app starts.
	AutoStart bool `yaml:"auto_start"`
	// StartTimeout is how long Start waits for the service to be ready. Default 10s.
	StartTimeout unit.Duration `yaml:"start_timeout"`
	// StopTimeout is how long Stop waits for the service to end. Default 10s.
	StopTimeout unit.Duration `yaml:"stop_timeout"`
	// StableThreshold is how long a service must run before an earlier failure is forgotten. Default 5s.
	StableThreshold unit.Duration `yaml:"stable_threshold"`
	// Requires names entries that must run before this one.
	Requires []string `yaml:"requires"`
	// Restart says when and how often a failed service is started again.
	Restart Restart `yaml:"restart"`
}

// Restart is the policy for services that fail: the n-th delay is InitialDelay times BackoffFactor to the power
// of n-1, at most MaxDelay, moved by up to Jitter of itself either way.
type Restart struct {
	InitialDelay  unit.Duration `yaml:"initial_delay"`
	MaxDelay      unit.Duration `yaml:"max_delay"`
	BackoffFactor float64       `yaml:"backoff_factor"`
	Jitter        float64       `yaml:"jitter"`
	// MaxAttempts is how many starts in a row may fail before the service fails for good; 0 means no limit.
	MaxAttempts int `yaml:"max_attempts"`
}

// DefaultLifecycle returns the values of fields that the user leaves out.
func DefaultLifecycle() Lifecycle {
	return Lifecycle{
		StartTimeout:    unit.Duration(10 * time.Second),
		StopTimeout:     unit.Duration(10 * time.Second),
		StableThreshold: unit.Duration(5 * time.Second),
		Restart: Restart{
			InitialDelay:  unit.Duration(time.Second),
			MaxDelay:      unit.Duration(90 * time.Second),
			BackoffFactor: 2,
			Jitter:        0.1,
		},
	}
}

// EntryStatus is the status of an entry that is to run.
type EntryStatus struct {
	ID, Kind string
	Status
}
