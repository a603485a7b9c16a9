package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// Checker finds what is wrong with the scripts of an app, and with the commands that they make, before any of them runs.
// It is given every entry once, by one goroutine. Errors are field errors, joined.
type Checker struct {
	// engine holds the scripts that were checked, and runs none.
	engine   *Engine
	commands []process.Command
}

// NewChecker returns a checker of the scripts of the app in a directory. Modules are never opened: only their names count.
func NewChecker(appDir string, modules []Module) *Checker {
	return &Checker{engine: New(Settings{AppDir: appDir, Modules: modules})}
}

// Process finds what is wrong with a process.lua entry besides its fields.
func (c *Checker) Process(entry *registry.Entry) error {
	cfg, ok := entry.Config.(*process.LuaConfig)
	if !ok {
		return wrongConfig(entry)
	}
	return errors.Join(c.command(entry), c.script(entry, &cfg.Code, c.engine.scripts, c.engine.AddProcess))
}

// Library finds what is wrong with a library.lua entry besides its fields.
func (c *Checker) Library(entry *registry.Entry) error {
	cfg, ok := entry.Config.(*process.LibraryConfig)
	if !ok {
		return wrongConfig(entry)
	}
	return c.script(entry, &cfg.Code, c.engine.libraries, c.engine.AddLibrary)
}

// script finds unknown modules, imports that hide modules, syntax errors, and what is certain to fail when the script runs.
func (c *Checker) script(
	entry *registry.Entry, code *process.Code, units map[registry.ID]*unit, add func(*registry.Entry) error,
) error {
	var p registry.Problems
	known := c.engine.ModuleNames()
	for i, name := range code.Modules {
		field := fmt.Sprintf("modules[%d]", i)
		switch {
		case !slices.Contains(known, name):
			p.Addf(field, "there is no module %q%s", name, suggestModule(name, known))
		case slices.Index(code.Modules, name) < i:
			p.Addf(field, "lists %q twice", name)
		}
	}
	for name := range code.Imports {
		if slices.Contains(known, name) {
			p.Addf("imports."+name, "%q is the name of a module: import the library under another name", name)
		}
	}
	if err := p.Err(); err != nil || code.Source == "" {
		return err
	}
	if err := add(entry); err != nil {
		return &registry.FieldError{Field: "source", Problem: reason(err)}
	}
	return c.engine.certain(c.engine.lookup(units, entry.ID))
}

// suggestModule names the module that was probably meant, or all there are.
func suggestModule(name string, known []string) string {
	if s := suggest.Hint(name, known); s != "" {
		return s
	}
	return "; there are " + strings.Join(known, ", ")
}

// reason returns the text of the classified error inside err, without what was wrapped around it.
func reason(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Error()
	}
	return err.Error()
}
