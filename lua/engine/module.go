package engine

import lua "github.com/yuin/gopher-lua"

// Module is a built-in that scripts may require. One value serves all processes.
type Module interface {
	// Name is what scripts pass to require.
	Name() string
	// Open makes the module's table. It is called once per process, when a script first requires the module, with
	// the lock of the process held; FromState(L) is the process. The table is read-only for scripts, and so are the
	// tables without a metatable in it.
	Open(L *lua.LState) *lua.LTable
}

// Global is a Module that every script finds as a global variable of its name, and may require without listing it.
type Global interface {
	Module
	// Global marks the module.
	Global()
}

// open returns the table of a built-in module, made on the first call.
func (p *Process) open(L *lua.LState, m Module) *lua.LTable {
	if tb := p.modules[m.Name()]; tb != nil {
		return tb
	}
	tb := protect(m.Open(L))
	p.modules[m.Name()] = tb
	return tb
}
