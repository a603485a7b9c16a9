package engine

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
)

// Settings are what an Engine is made from.
type Settings struct {
	// AppDir is the directory of the app; positions in error messages are relative to it.
	AppDir string
	// Logger gets what processes print when they have no terminal, and is the parent of their loggers.
	Logger *slog.Logger
	// Modules are the built-ins that scripts may require.
	Modules []Module
}

// Engine knows the scripts and the hosts of an app and runs processes. It implements process.Runner; its methods may
// be called from any goroutine.
type Engine struct {
	appDir  string
	log     *slog.Logger
	modules map[string]Module
	globals []Global

	// mu guards what is below. It is held for moments only, never while Lua code runs.
	mu        sync.Mutex
	scripts   map[registry.ID]*unit
	libraries map[registry.ID]*unit
	hosts     map[registry.ID]*Host
	processes map[process.PID]*Process
	last      uint64
}

var _ process.Runner = (*Engine)(nil)

// New returns an engine without scripts and hosts.
func New(s Settings) *Engine {
	e := &Engine{
		appDir:    s.AppDir,
		log:       s.Logger,
		modules:   make(map[string]Module, len(s.Modules)),
		scripts:   map[registry.ID]*unit{},
		libraries: map[registry.ID]*unit{},
		hosts:     map[registry.ID]*Host{},
		processes: map[process.PID]*Process{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	for _, m := range s.Modules {
		e.modules[m.Name()] = m
		if g, ok := m.(Global); ok {
			e.globals = append(e.globals, g)
		}
	}
	return e
}

// ModuleNames returns the names of all built-in modules, sorted.
func (e *Engine) ModuleNames() []string { return slices.Sorted(maps.Keys(e.modules)) }

// AddProcess makes the script of a process.lua entry known, or replaces it; processes that run already keep what they
// were started with. An unreadable file, a syntax error and an unknown module are Invalid errors.
func (e *Engine) AddProcess(entry *registry.Entry) error {
	cfg, ok := entry.Config.(*process.LuaConfig)
	if !ok {
		return wrongConfig(entry)
	}
	return e.add(e.scripts, entry, cfg.Code, cfg.Method)
}

// AddLibrary makes the script of a library.lua entry known, as AddProcess does.
func (e *Engine) AddLibrary(entry *registry.Entry) error {
	cfg, ok := entry.Config.(*process.LibraryConfig)
	if !ok {
		return wrongConfig(entry)
	}
	return e.add(e.libraries, entry, cfg.Code, "")
}

// wrongConfig is the error of an entry whose configuration is not that of its kind.
func wrongConfig(entry *registry.Entry) error {
	return errs.New(errs.Internal, "lua: entry %q: configuration is %T", entry.ID, entry.Config)
}

func (e *Engine) add(units map[registry.ID]*unit, entry *registry.Entry, code process.Code, method string) error {
	for _, name := range code.Modules {
		if e.modules[name] == nil {
			return errs.New(errs.Invalid, "lua: entry %q: modules: %s", entry.ID, e.unknown(name))
		}
	}
	u, err := newUnit(e.appDir, entry, code, method, e.lookup(units, entry.ID))
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	units[entry.ID] = u
	return nil
}

func (e *Engine) remove(units map[registry.ID]*unit, id registry.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(units, id)
}

func (e *Engine) lookup(units map[registry.ID]*unit, id registry.ID) *unit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return units[id]
}

// unknown says that there is no built-in module of that name, and which one may be meant.
func (e *Engine) unknown(name string) string {
	if near := nearest(name, e.ModuleNames()); near != "" {
		return fmt.Sprintf("there is no module %q; did you mean %q?", name, near)
	}
	return fmt.Sprintf("there is no module %q; there are %v", name, e.ModuleNames())
}

// nearest returns the candidate that differs from word in at most two letters, "" if there is none.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		if d := distance(word, c); d < bestDistance && d < len(word) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
