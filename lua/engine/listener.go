package engine

import (
	"context"

	"github.com/wippy-cdc/runtime/api/registry"
)

// scripts is the listener of the entries of one kind that are scripts: it makes them known to the engine, and nothing runs.
type scripts struct {
	engine *Engine
	units  map[registry.ID]*unit
	add    func(entry *registry.Entry) error
}

var _ registry.Listener = scripts{}

// Processes returns the listener of process.lua entries.
func (e *Engine) Processes() registry.Listener { return scripts{e, e.scripts, e.AddProcess} }

// Libraries returns the listener of library.lua entries.
func (e *Engine) Libraries() registry.Listener { return scripts{e, e.libraries, e.AddLibrary} }

// Add implements registry.Listener.
func (s scripts) Add(_ context.Context, entry *registry.Entry) error { return s.add(entry) }

// Update implements registry.Listener.
func (s scripts) Update(_ context.Context, entry *registry.Entry) error { return s.add(entry) }

// Stop implements registry.Listener: a process that has the script keeps it.
func (s scripts) Stop(context.Context, registry.ID) error { return nil }

// Delete implements registry.Listener.
func (s scripts) Delete(_ context.Context, id registry.ID) error {
	s.engine.remove(s.units, id)
	return nil
}

// Applied implements registry.Listener.
func (s scripts) Applied(id registry.ID) bool { return s.engine.lookup(s.units, id) != nil }
