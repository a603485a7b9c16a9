// Package process defines Lua processes as entries: the kinds, their configuration, and how processes are started,
// addressed and told to end.
package process

import (
	"context"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
)

// The kinds of process entries.
const (
	// KindLua is a script that runs as a process.
	KindLua registry.Kind = "process.lua"
	// KindLibrary is a script that others require.
	KindLibrary registry.Kind = "library.lua"
	// KindHost is where processes run.
	KindHost registry.Kind = "process.host"
	// KindTerminal is a host whose processes may use the io module.
	KindTerminal registry.Kind = "terminal.host"
	// KindService keeps one process running on a host.
	KindService registry.Kind = "process.service"
)

// PID identifies a running process: host and number.
type PID string

// Spawn says what to start.
type Spawn struct {
	// Process is a process.lua entry, Host a process.host or terminal.host entry that is running.
	Process, Host registry.ID
	// Args are passed to the process's method: nil, bool, float64, int64, string, []any and map[string]any.
	Args []any
	// Parent receives a pid.exit event when the process ends; "" for none.
	Parent PID
}

// Exit is how a process has ended.
type Exit struct {
	PID PID
	// Value is what the method returned first, in the types of Spawn.Args; nil after an error.
	Value any
	// Err is why the process failed: a script error with file:line and traceback, or Canceled.
	Err error
}

// Runner runs processes. Methods may be called from any goroutine.
type Runner interface {
	// Spawn starts a process and returns when it is running. Errors: NotFound for an unknown entry, Unavailable
	// for a host that is not running, Invalid for a script that does not compile.
	Spawn(ctx context.Context, spawn Spawn) (PID, error)
	// Wait waits for the process to end. If ctx is done first, the process goes on and the error is ctx's. An
	// unknown or forgotten process is NotFound. Only one caller may wait for a process.
	Wait(ctx context.Context, pid PID) (Exit, error)
	// Cancel asks a process to end: one that listens to its events gets pid.cancel and time until ctx is done;
	// then, or at once if it does not listen, it is terminated. Cancel returns when the process has ended. The error is
	// that of a script that has failed meanwhile, and Timeout for one that had time and did not end.
	Cancel(ctx context.Context, pid PID) error
	// Terminate ends a process at once and waits for it.
	Terminate(ctx context.Context, pid PID) error
}

// LuaConfig configures a process.lua entry.
type LuaConfig struct {
	Code `yaml:",inline"`
	// Method is the function of the table that the script returns, or a global function, that runs. Default main.
	Method string `yaml:"method"`
}

// LibraryConfig configures a library.lua entry.
type LibraryConfig struct {
	Code `yaml:",inline"`
}

// Code is a script and what it may require.
type Code struct {
	// Source is the script itself, or file:// and its path relative to the YAML file.
	Source string `yaml:"source"`
	// Modules lists the built-in modules that the script may require.
	Modules []string `yaml:"modules"`
	// Imports maps names that the script may require to library entries.
	Imports map[string]registry.ID `yaml:"imports" ref:"library.lua"`
}

// File returns the path of the script file, or "" if Source is the script.
func (c *Code) File() string {
	path, ok := strings.CutPrefix(c.Source, "file://")
	if !ok {
		return ""
	}
	return path
}

// Files returns the file of the script, by the field that names it.
func (c *Code) Files() map[string]string {
	if file := c.File(); file != "" {
		return map[string]string{"source": file}
	}
	return nil
}

// Command is a process that can be run by name: meta.command of a process.lua entry.
type Command struct {
	// ID is the process.
	ID registry.ID
	// Name is what the user types, Short one line about it.
	Name, Short string
	// UseCase is UseCaseTest for commands that test the app, else "".
	UseCase string
}

// UseCaseTest marks the commands that test the app.
const UseCaseTest = "test"

// HostConfig configures a process.host or terminal.host entry.
type HostConfig struct {
	// MaxProcesses bounds the processes that run at a time; 0 means no limit.
	MaxProcesses int `yaml:"max_processes"`
}

// ServiceConfig configures a process.service entry.
type ServiceConfig struct {
	Process registry.ID `yaml:"process" ref:"process.lua"`
	Host    registry.ID `yaml:"host" ref:"process.host,terminal.host"`
	// Input is passed to the method: a list gives its arguments, anything else is its only argument.
	Input any `yaml:"input"`
	// Ready is whether the service counts as started when its process has called process.ready(), instead of at once.
	Ready bool `yaml:"ready"`
}

// SetDefaults implements registry.Config.
func (c *LuaConfig) SetDefaults() { c.Method = "main" }

// Validate implements registry.Config.
func (c *LuaConfig) Validate() error {
	var p registry.Problems
	c.validate(&p)
	if c.Method == "" {
		p.Addf("method", "must not be empty: name the function to run")
	}
	return p.Err()
}

// SetDefaults implements registry.Config.
func (c *LibraryConfig) SetDefaults() {}

// Validate implements registry.Config.
func (c *LibraryConfig) Validate() error {
	var p registry.Problems
	c.validate(&p)
	return p.Err()
}

func (c *Code) validate(p *registry.Problems) {
	switch c.Source {
	case "":
		p.Addf("source", "is required: give file://name.lua or the script itself")
	case "file://":
		p.Addf("source", "names no file: write file://name.lua")
	}
}

// SetDefaults implements registry.Config.
func (c *HostConfig) SetDefaults() {}

// Validate implements registry.Config.
func (c *HostConfig) Validate() error {
	var p registry.Problems
	if c.MaxProcesses < 0 {
		p.Addf("max_processes", "must not be negative; 0 means no limit")
	}
	return p.Err()
}

// SetDefaults implements registry.Config.
func (c *ServiceConfig) SetDefaults() {}

// Validate implements registry.Config.
func (c *ServiceConfig) Validate() error {
	var p registry.Problems
	if c.Process.IsZero() {
		p.Addf("process", "is required: name a process.lua entry")
	}
	if c.Host.IsZero() {
		p.Addf("host", "is required: name a process.host or terminal.host entry")
	}
	return p.Err()
}
