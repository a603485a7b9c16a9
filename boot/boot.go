// Package boot makes an app out of its declarations: it keeps the table of kinds, wires every implementation to those that
// it needs, and says in which order things happen.
//
// Load reads and checks declarations; App.Run, App.Execute and App.Test run them. A run holds the state that is applied and
// turns each new one into a change set for the listeners of the kind table. What a listener stops it keeps declared, so
// that scripts which look for a source while it is replaced meet one that is not running, and not an unknown one; what
// it deletes is gone everywhere, its external state included. Whether an entry runs is known to the supervisor alone: its
// listener, a reload and the end of the app ask there.
package boot

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules"
	httpservice "github.com/wippy-cdc/runtime/service/http"
	"github.com/wippy-cdc/runtime/service/metrics"
	declarations "github.com/wippy-cdc/runtime/service/registry"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// Settings are what an app is made from. Dir is required; a nil Logger discards, nil streams are empty.
type Settings struct {
	// Dir is the app directory.
	Dir string
	// Logger gets what happens to services and what scripts log.
	Logger *slog.Logger
	// Stdin, Stdout and Stderr are the terminal of processes on a terminal.host, Args its arguments.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Args           []string
	// Reload asks Run to read the declarations anew, once for each value; nil means never. A value that has not
	// been received yet stands for all that would follow it, so a buffer of one is enough.
	Reload <-chan os.Signal
	// Metrics is the address at which metrics are served while the app runs, see listen.Address; "" means nowhere. HTTP says by
	// which other doors it can be looked at.
	Metrics string
	HTTP    HTTP
	// LookupEnv reads the environment; nil means that of the process.
	LookupEnv func(name string) (string, bool)
}

// App is a set of declarations without problems. It can be run several times, one after the other.
type App struct {
	settings Settings
	state    *declarations.State
	commands []process.Command
}

// Problems is what Load finds wrong with the declarations, one by one.
type Problems = declarations.Problems

// HTTP says by which doors an app can be reached.
type HTTP = httpservice.Config

// Load reads and validates the declarations of an app; nothing is started. If anything is wrong with them, the error
// holds *Problems.
func Load(settings Settings) (*App, error) {
	if settings.Logger == nil {
		settings.Logger = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(metrics.Check(settings.Metrics), settings.HTTP.Validate()); err != nil {
		return nil, err
	}
	checker := engine.NewChecker(settings.Dir, modules.All(nil, nil, nil)) // which opens none of them
	var readers []declarations.Kind
	for _, k := range kinds(checker) {
		readers = append(readers, k.read)
	}
	state, err := declarations.NewLoader(readers, settings.LookupEnv).Load(settings.Dir)
	if err != nil {
		return nil, err
	}
	return &App{settings: settings, state: state, commands: checker.Commands()}, nil
}

// Len returns the number of entries.
func (a *App) Len() int { return a.state.Len() }

// Commands lists what the app offers by name, ordered by name.
func (a *App) Commands() []process.Command { return slices.Clone(a.commands) }

// Build says which SQLite the program was built with and what of it that is a choice: see sqlite.Build.
func Build() string { return sqlite.Build() }
