package engine

import (
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// explain returns the text of an error with the name of the expression that it is about, if it is one of the virtual
// machine's, or with that of a built-in function. level is where on the stack of L the function is that has raised it.
func (p *Process) explain(L *lua.LState, level int, text string) string {
	f, ok := frameAt(L, level)
	if !ok {
		return text
	}
	if f.function.IsG {
		return p.nameFunction(L, f, text)
	}
	where := L.Where(level) + " "
	message, ok := strings.CutPrefix(text, where)
	u := p.owner(f.function)
	if !ok || u == nil {
		return text
	}
	proto, pc := f.function.Proto, f.pc()
	e := failure{
		process: p, state: L, unit: u, frame: f,
		inst: proto.Code[pc], node: u.text.sites[proto][pc], line: proto.DbgSourcePositions[pc],
	}
	if better := e.explain(message); better != "" {
		return where + better
	}
	return text
}

// failure is an instruction that has failed.
type failure struct {
	process *Process
	state   *lua.LState
	unit    *unit
	frame   frame
	inst    uint32
	node    ast.PositionHolder // what it was made from
	line    int
}

// explain returns a better text for a message of the virtual machine, "" if there is none.
func (e *failure) explain(message string) string {
	switch op := int(e.inst >> 26); op {
	case lua.OP_CALL, lua.OP_TAILCALL, lua.OP_TFORLOOP:
		if message == "attempt to call a non-function object" {
			return e.calling(e.value(argA(e.inst)))
		}
	case lua.OP_GETTABLE, lua.OP_GETTABLEKS, lua.OP_SELF:
		return e.indexing(message, e.value(argB(e.inst)))
	case lua.OP_SETTABLE, lua.OP_SETTABLEKS:
		return e.indexing(message, e.value(argA(e.inst)))
	case lua.OP_ADD, lua.OP_SUB, lua.OP_MUL, lua.OP_DIV, lua.OP_MOD, lua.OP_POW:
		if strings.HasPrefix(message, "cannot perform ") {
			return e.calculating(e.value(argB(e.inst)), e.value(argC(e.inst)))
		}
	case lua.OP_UNM:
		if n, ok := e.node.(*ast.UnaryMinusOpExpr); ok && message == "__unm undefined" {
			return "attempt to perform arithmetic on " + e.describe(n.Expr, e.value(argB(e.inst)))
		}
	case lua.OP_LEN:
		if n, ok := e.node.(*ast.UnaryLenOpExpr); ok && message == "__len undefined" {
			return "attempt to get length of " + e.describe(n.Expr, e.value(argB(e.inst)))
		}
	case lua.OP_CONCAT:
		if strings.HasPrefix(message, "cannot perform concat ") {
			return e.concatenating()
		}
	case lua.OP_LT, lua.OP_LE:
		if strings.HasPrefix(message, "attempt to compare ") {
			return e.comparing(message)
		}
	}
	return ""
}

// value is what an operand of the instruction holds.
func (e *failure) value(arg int) lua.LValue {
	if arg&constantBit != 0 {
		return e.frame.function.Proto.Constants[arg&^constantBit]
	}
	_, v := e.state.GetLocal(e.frame.debug, arg+1)
	return v
}

func (e *failure) calling(v lua.LValue) string {
	switch n := e.node.(type) {
	case *ast.FuncCallExpr:
		if n.Func == nil {
			return fmt.Sprintf("attempt to call method '%s' (a %s value)", n.Method, v.Type())
		}
		return "attempt to call " + e.describe(n.Func, v)
	case *ast.GenericForStmt:
		return "attempt to call " + e.describe(n.Exprs[0], v) + " by for: it needs an iterator, such as pairs(t) or ipairs(t)"
	}
	return ""
}

func (e *failure) indexing(message string, v lua.LValue) string {
	if !strings.HasPrefix(message, "attempt to index a non-table object("+v.Type().String()+")") {
		return "" // it is about what stands behind v by __index or __newindex
	}
	var object ast.Expr
	switch n := e.node.(type) {
	case *ast.AttrGetExpr:
		object = n.Object
		if e.unit.text.receivers[n] && int(e.inst>>26) == lua.OP_SETTABLE {
			object = n
		}
	case *ast.FuncCallExpr:
		object = n.Receiver
	case *ast.IdentExpr:
		object = n
	}
	if e.name(object) == "" {
		_, key, _ := strings.Cut(message, ") ")
		return fmt.Sprintf("attempt to index a %s value %s", v.Type(), key)
	}
	return "attempt to index " + e.describe(object, v)
}

func (e *failure) calculating(lhs, rhs lua.LValue) string {
	n, ok := e.node.(*ast.ArithmeticOpExpr)
	if !ok {
		return ""
	}
	if isNumeric(lhs) {
		return "attempt to perform arithmetic on " + e.describe(n.Rhs, rhs)
	}
	return "attempt to perform arithmetic on " + e.describe(n.Lhs, lhs)
}

// isNumeric reports whether v is a number or text that is one.
func isNumeric(v lua.LValue) bool {
	if _, ok := v.(lua.LString); ok {
		return lua.LVAsNumber(v) != 0 || strings.ContainsRune(v.String(), '0')
	}
	return v.Type() == lua.LTNumber
}

func (e *failure) concatenating() string {
	n, ok := e.node.(*ast.StringConcatOpExpr)
	if !ok {
		return ""
	}
	operands := []ast.Expr{n.Lhs}
	for ok {
		rhs := n.Rhs
		if n, ok = rhs.(*ast.StringConcatOpExpr); ok {
			operands = append(operands, n.Lhs)
		} else {
			operands = append(operands, rhs)
		}
	}
	for i, operand := range slices.Backward(operands) {
		v := e.value(argB(e.inst) + i)
		if !lua.LVCanConvToString(v) && e.state.GetMetaField(v, "__concat") == lua.LNil {
			return "attempt to concatenate " + e.describe(operand, v)
		}
	}
	return ""
}

// comparing names the operand that is nil, if one is.
func (e *failure) comparing(message string) string {
	n, ok := e.node.(*ast.RelationalOpExpr)
	if !ok {
		return ""
	}
	lhs, rhs := e.value(argB(e.inst)), e.value(argC(e.inst))
	if strings.HasPrefix(n.Operator, ">") {
		lhs, rhs = rhs, lhs
	}
	operand := n.Lhs
	switch {
	case lhs == rhs:
		return ""
	case rhs == lua.LNil:
		operand = n.Rhs
	case lhs != lua.LNil:
		return ""
	}
	name := e.name(operand)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s is nil%s", message, name, e.reason(operand))
}

// describe names an expression and the type of its value, and if that is nil, why.
func (e *failure) describe(expr ast.Expr, v lua.LValue) string {
	text := fmt.Sprintf("a %s value", v.Type())
	if name := e.name(expr); name != "" {
		text = fmt.Sprintf("%s (%s)", name, text)
	}
	if v == lua.LNil {
		text += e.reason(expr)
	}
	return text
}

// name is how messages call an expression, "" if it has no name.
func (e *failure) name(expr ast.Expr) string {
	switch n := expr.(type) {
	case *ast.IdentExpr:
		v := e.unit.text.variables[n]
		if v.instead != nil {
			return e.name(v.instead)
		}
		return fmt.Sprintf("%s '%s'", v.kind, n.Value)
	case *ast.AttrGetExpr:
		return fmt.Sprintf("field '%s'", keyName(n.Key))
	case *ast.FuncCallExpr:
		if name := calledName(n); name != "" {
			return fmt.Sprintf("the result of '%s'", name)
		}
	}
	return ""
}

func keyName(key ast.Expr) string {
	switch key := key.(type) {
	case *ast.StringExpr:
		return key.Value
	case *ast.NumberExpr:
		return key.Value
	default:
		return "?"
	}
}

func calledName(call *ast.FuncCallExpr) string {
	switch f := call.Func.(type) {
	case nil:
		return call.Method
	case *ast.IdentExpr:
		return f.Value
	case *ast.AttrGetExpr:
		return keyName(f.Key)
	default:
		return ""
	}
}

// reason says which error the call has returned that an expression had its nil from, if it is the last one that a
// built-in function has returned there.
func (e *failure) reason(expr ast.Expr) string {
	call := e.origin(expr)
	if call == nil {
		return ""
	}
	line, last := e.unit.text.line(call.Line()), e.process.failed
	if last.err == nil || last.line != line || last.chunk != e.unit.chunk {
		return ""
	}
	if line == e.line {
		return fmt.Sprintf(": the call has failed: %v", last.err)
	}
	return fmt.Sprintf(": the call on line %d has failed: %v", line, last.err)
}

// origin returns the call that an expression, or the local variable that it is, has its value from.
func (e *failure) origin(expr ast.Expr) *ast.FuncCallExpr {
	switch n := expr.(type) {
	case *ast.FuncCallExpr:
		return n
	case *ast.IdentExpr:
		local := e.unit.text.variables[n].declared
		if local == nil || len(local.Exprs) == 0 {
			return nil
		}
		i := min(slices.Index(local.Names, n.Value), len(local.Exprs)-1)
		call, _ := local.Exprs[i].(*ast.FuncCallExpr)
		return call
	default:
		return nil
	}
}

// failed is the last error that a built-in function has returned to a script.
type failed struct {
	err   error
	chunk string
	line  int
}

// noteFailure remembers that the built-in function which L runs returns an error.
func (p *Process) noteFailure(L *lua.LState, err error) {
	p.failed = failed{}
	if f, ok := frameAt(L, 1); ok && !f.function.IsG {
		p.failed = failed{err, f.function.Proto.SourceName, f.debug.CurrentLine}
	}
}

// nameFunction puts the name of a built-in function into a text that gopher-lua found no name for, because it is not
// called by a name.
func (p *Process) nameFunction(L *lua.LState, f frame, text string) string {
	for _, unknown := range []string{" to (anonymous) (", " to ? ("} {
		if before, after, ok := strings.Cut(text, unknown); ok {
			return before + " to " + p.functionName(L, f) + " (" + after
		}
	}
	return text
}

// functionName looks for a built-in function among the globals, the modules and the methods of its first argument.
func (p *Process) functionName(L *lua.LState, f frame) string {
	tables := map[string]*lua.LTable{"": L.G.Global}
	for name, tb := range p.modules {
		tables[name+"."] = tb
	}
	L.G.Global.ForEach(func(name, v lua.LValue) {
		if tb, ok := v.(*lua.LTable); ok && tb != L.G.Global {
			tables[name.String()+"."] = tb
		}
	})
	if _, self := L.GetLocal(f.debug, 1); self.Type() == lua.LTUserData {
		if methods, ok := L.GetMetaField(self, "__index").(*lua.LTable); ok {
			tables[":"] = methods
		}
	}
	name := "a built-in function"
	for prefix, tb := range tables {
		tb.ForEach(func(key, v lua.LValue) {
			if v == f.function {
				name = strings.TrimPrefix(prefix+key.String(), ":")
			}
		})
	}
	return name
}
