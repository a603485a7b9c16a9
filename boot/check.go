package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	api "github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// compiler finds out whether a script can be run.
type compiler interface {
	ModuleNames() []string
	AddProcess(entry *api.Entry) error
	AddLibrary(entry *api.Entry) error
	CheckProcess(entry *api.Entry) []error
	CheckLibrary(entry *api.Entry) []error
}

// checkProcess finds what is wrong with a process.lua entry besides its fields.
func checkProcess(c compiler, entry *api.Entry) error {
	_, commandErr := commandOf(entry)
	return errors.Join(commandErr, checkScript(c, entry, c.AddProcess, c.CheckProcess))
}

// checkLibrary finds what is wrong with a library.lua entry besides its fields.
func checkLibrary(c compiler, entry *api.Entry) error {
	return checkScript(c, entry, c.AddLibrary, c.CheckLibrary)
}

// checkScript reports unknown modules, imports that hide modules, syntax errors, and what is certain to fail when the
// script runs.
func checkScript(c compiler, entry *api.Entry, compile func(*api.Entry) error, check func(*api.Entry) []error) error {
	var p api.Problems
	code, known := codeOf(entry.Config), c.ModuleNames()
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
	if err := compile(entry); err != nil {
		return &api.FieldError{Field: "source", Problem: reason(err)}
	}
	return errors.Join(check(entry)...)
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

// hasScript reports whether the entry is a process that can be run.
func hasScript(entry *api.Entry) bool { return entry != nil && entry.Kind == process.KindLua }
