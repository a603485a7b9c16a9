package engine

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/yuin/gopher-lua/ast"

	"github.com/wippy-cdc/runtime/api/registry"
)

// certain finds what is certain to go wrong when a script runs: it requires by a literal name what its entry does not list,
// or it is that of a process and has no function of the name that method gives. A script whose result only running can tell
// is not complained about.
func (e *Engine) certain(u *unit) error {
	block, err := u.parse()
	if err != nil {
		return err
	}
	problems := e.checkRequires(u, block)
	if u.method == "" {
		return errors.Join(problems...)
	}
	if why := missingMethod(u, block); why != "" {
		problems = append(problems, &registry.FieldError{Field: "method", Problem: why})
	}
	return errors.Join(problems...)
}

// checkRequires finds calls of require with a literal that fail. What stands inside a function that is passed to pcall
// may fail.
func (e *Engine) checkRequires(u *unit, block []ast.Stmt) []error {
	if redefines(block, "require") {
		return nil
	}
	var problems []error
	visit(reflect.ValueOf(block), func(node any) bool {
		call, ok := node.(*ast.FuncCallExpr)
		if !ok {
			return true
		}
		if isName(call.Func, "pcall") || isName(call.Func, "xpcall") {
			return false
		}
		name, ok := literal(call.Args)
		if !ok || !isName(call.Func, "require") {
			return true
		}
		if why := e.refuses(u, name); why != "" {
			problems = append(problems, &registry.FieldError{
				Field: "source", Problem: fmt.Sprintf("%s:%d: %s", u.chunk, call.Line(), why),
			})
		}
		return true
	})
	return problems
}

// refuses says why require fails for a script, "" if it does not.
func (e *Engine) refuses(u *unit, name string) string {
	if _, ok := u.code.Imports[name]; ok {
		return ""
	}
	m := e.modules[name]
	_, global := m.(Global)
	switch {
	case m == nil:
		return e.missing(name, u)
	case global || u.allows(name):
		return ""
	default:
		return fmt.Sprintf("module %q is not allowed here: add it to modules of %s", name, u.id)
	}
}

// moduleError is the error of a require that no restart can cure.
type moduleError struct{ text string }

// Error implements error.
func (e *moduleError) Error() string { return e.text }

// missingMethod says why the script cannot have the function that is its method, "" if it has or may have it.
func missingMethod(u *unit, block []ast.Stmt) string {
	if mayDefineGlobal(block, u.method) {
		return ""
	}
	value, certain := returned(block)
	if !certain {
		return ""
	}
	have := "returns nothing"
	switch value := value.(type) {
	case nil:
	case *ast.TableExpr:
		names, certain := keys(value)
		if !certain || slices.Contains(names, u.method) {
			return ""
		}
		have = "returns a table without it"
		if near := nearest(u.method, names); near != "" {
			have += fmt.Sprintf(" (did you mean %q?)", near)
		}
	case *ast.IdentExpr:
		names, certain := fieldsOf(block, value.Value)
		if !certain || slices.Contains(names, u.method) {
			return ""
		}
		have = "returns a table without it"
	case *ast.FunctionExpr:
		have = "returns a function and no table"
	default:
		return ""
	}
	return fmt.Sprintf("%s has no function %q and %s: return {%s = function() ... end}, or name another method",
		u.chunk, u.method, have, u.method)
}

// returned is what the last statement of a script returns, nil if there is none. It is not certain if the script may
// return elsewhere.
func returned(block []ast.Stmt) (value ast.Expr, certain bool) {
	certain = true
	for i, stmt := range block {
		if r, ok := stmt.(*ast.ReturnStmt); ok && i == len(block)-1 {
			if len(r.Exprs) > 0 {
				value = r.Exprs[0]
			}
			continue
		}
		visit(reflect.ValueOf(stmt), func(node any) bool {
			switch node.(type) {
			case *ast.FunctionExpr:
				return false
			case *ast.ReturnStmt:
				certain = false
			}
			return true
		})
	}
	return value, certain
}

// keys are the names of the fields of a table. They are not certain if one of them is computed.
func keys(table *ast.TableExpr) (names []string, certain bool) {
	for _, f := range table.Fields {
		switch key := f.Key.(type) {
		case nil, *ast.NumberExpr:
		case *ast.StringExpr:
			names = append(names, key.Value)
		default:
			return nil, false
		}
	}
	return names, true
}

// fieldsOf are the names of the fields of a table in a local variable of the script, if it is made by a constructor and
// used in no way but to set and to get fields by name.
func fieldsOf(block []ast.Stmt, variable string) (names []string, certain bool) {
	declared, gets, uses := 0, 0, 0
	certain = true
	for _, stmt := range block {
		local, ok := stmt.(*ast.LocalAssignStmt)
		if !ok || !slices.Contains(local.Names, variable) {
			continue
		}
		if len(local.Names) != 1 || len(local.Exprs) != 1 {
			return nil, false
		}
		table, ok := local.Exprs[0].(*ast.TableExpr)
		if !ok {
			return nil, false
		}
		declared++
		names, certain = keys(table)
	}
	visit(reflect.ValueOf(block), func(node any) bool {
		switch node := node.(type) {
		case *ast.AttrGetExpr:
			if isName(node.Object, variable) {
				gets++
				key, ok := node.Key.(*ast.StringExpr)
				if !ok {
					certain = false
					return true
				}
				names = append(names, key.Value) // also what is only read, which is no reason to complain
			}
		case *ast.FuncName:
			if node.Receiver != nil && isName(node.Receiver, variable) {
				gets++
				names = append(names, node.Method)
			}
		case *ast.IdentExpr:
			if node.Value == variable {
				uses++
			}
		}
		return true
	})
	// The one use that is not a field is the return.
	return names, certain && declared == 1 && uses == gets+1
}

// mayDefineGlobal reports whether a script may set a global of that name, or do so in ways that cannot be seen.
func mayDefineGlobal(block []ast.Stmt, name string) bool {
	found := mayAssign(block, name)
	visit(reflect.ValueOf(block), func(node any) bool {
		if ident, ok := node.(*ast.IdentExpr); ok {
			found = found || slices.Contains([]string{"_G", "setfenv", "getfenv", "rawset", "setmetatable"}, ident.Value)
		}
		return !found
	})
	return found
}

// redefines reports whether a script gives a name a meaning of its own.
func redefines(block []ast.Stmt, name string) bool {
	found := false
	visit(reflect.ValueOf(block), func(node any) bool {
		switch node := node.(type) {
		case *ast.LocalAssignStmt:
			found = found || slices.Contains(node.Names, name)
		case *ast.ParList:
			found = found || slices.Contains(node.Names, name)
		case *ast.GenericForStmt:
			found = found || slices.Contains(node.Names, name)
		}
		return !found
	})
	return found || mayAssign(block, name)
}

// mayAssign reports whether a script assigns to a name.
func mayAssign(block []ast.Stmt, name string) bool {
	found := false
	visit(reflect.ValueOf(block), func(node any) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			found = found || slices.ContainsFunc(node.Lhs, func(e ast.Expr) bool { return isName(e, name) })
		case *ast.FuncDefStmt:
			found = found || (node.Name.Func != nil && isName(node.Name.Func, name))
		}
		return !found
	})
	return found
}

func isName(e ast.Expr, name string) bool {
	ident, ok := e.(*ast.IdentExpr)
	return ok && ident.Value == name
}

func literal(args []ast.Expr) (string, bool) {
	if len(args) != 1 {
		return "", false
	}
	text, ok := args[0].(*ast.StringExpr)
	if !ok {
		return "", false
	}
	return text.Value, true
}

// visit calls f for every node of a syntax tree, outer ones first; those inside one for which it returns false are left
// out.
func visit(v reflect.Value, f func(node any) bool) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			visit(v.Elem(), f)
		}
	case reflect.Pointer:
		if !v.IsNil() && f(v.Interface()) {
			visit(v.Elem(), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(v.Index(i), f)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanInterface() {
				visit(field, f)
			}
		}
	default:
	}
}
