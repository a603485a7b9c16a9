package test

import (
	lua "github.com/yuin/gopher-lua"
)

// equal is test.equal(got, want): tables are equal if their contents are.
func equal(L *lua.LState) int { return check(L, &comparison{L: L}) }

// match is test.match(got, want): of tables only the keys in want are looked at.
func match(L *lua.LState) int {
	if got, want := L.Get(1), L.CheckTable(2); got.Type() != lua.LTTable {
		L.RaiseError("expected a table like %s, got %s", render(L, want), render(L, got))
	}
	return check(L, &comparison{L: L, partly: true})
}

func check(L *lua.LState, c *comparison) int {
	if L.GetTop() < 2 {
		L.ArgError(2, "got and want expected")
	}
	if difference := c.compare("", L.Get(1), L.Get(2)); difference != "" {
		L.RaiseError("%s", difference)
	}
	return 0
}

// fail is test.fail(message).
func fail(L *lua.LState) int {
	L.RaiseError("%s", L.CheckString(1))
	return 0
}
