package engine

import (
	"context"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// library is a library entry that a process has required.
type library struct {
	unit   *unit
	value  lua.LValue    // what the script has returned, valid when loaded is closed
	loaded chan struct{} // closed when the script has run, also in vain
	loader *lua.LState   // the thread that runs it
}

// require is the function that the script of u calls: argument 1 is the name of a built-in module or a key of imports of
// its entry.
func (p *Process) require(L *lua.LState, u *unit) int {
	name := L.CheckString(1)
	if id, ok := u.code.Imports[name]; ok {
		L.Push(p.load(L, name, id))
		return 1
	}
	if why := p.engine.refuses(u, name); why != "" {
		L.Error(ErrorValue(L, &errs.Error{Kind: errs.Invalid, Err: &moduleError{Where(L) + why}}), 0)
	}
	L.Push(p.open(L, p.engine.modules[name]))
	return 1
}

// missing explains why require cannot find name.
func (e *Engine) missing(name string, u *unit) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.libraries {
		if id.Name == name || id.String() == name {
			return fmt.Sprintf("module %q is not allowed here: add it to imports of %s as %s: %s", name, u.id, id.Name, id)
		}
	}
	known := append([]string{}, u.code.Modules...)
	for alias := range u.code.Imports {
		known = append(known, alias)
	}
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("there is no module %q; did you mean %q?", name, near)
	}
	return e.unknown(name)
}

// load returns the value of a library, whose script runs once per process.
func (p *Process) load(L *lua.LState, name string, id registry.ID) lua.LValue {
	for {
		lib := p.libraries[id]
		if lib == nil {
			return p.runLibrary(L, name, id)
		}
		select {
		case <-lib.loaded:
			return lib.value
		default:
		}
		if within(L, lib.loader) {
			L.RaiseError("module %q requires itself: %s is still being loaded", name, id)
		}
		_, err := Block(L, func(ctx context.Context) (struct{}, error) {
			select {
			case <-lib.loaded:
				return struct{}{}, nil
			case <-ctx.Done():
				return struct{}{}, ctx.Err()
			}
		})
		if err != nil {
			L.Error(ErrorValue(L, err), 0)
		}
	}
}

// within reports whether L is th or was resumed by it.
func within(L, th *lua.LState) bool {
	for ; L != nil; L = L.Parent {
		if L == th {
			return true
		}
	}
	return false
}

// runLibrary runs the script of a library. A script that fails is run again by the next require.
func (p *Process) runLibrary(L *lua.LState, name string, id registry.ID) lua.LValue {
	u := p.engine.lookup(p.engine.libraries, id)
	if u == nil {
		L.RaiseError("module %q: there is no library %s", name, id)
	}
	lib := &library{unit: u, loaded: make(chan struct{}), loader: L}
	p.libraries[id] = lib
	defer close(lib.loaded)
	defer func() {
		if lib.value == nil {
			delete(p.libraries, id)
		}
	}()
	L.Push(p.function(L, u))
	L.Call(0, 1)
	value := L.Get(-1)
	L.Pop(1)
	if value == lua.LNil {
		value = lua.LTrue
	}
	lib.value = value
	return value
}
