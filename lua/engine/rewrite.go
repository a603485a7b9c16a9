package engine

import (
	"fmt"
	"strconv"

	"github.com/yuin/gopher-lua/ast"
)

// gopher-lua's compiler gets multiple assignment wrong: in a, b = b, a it assigns a before it reads it. Single
// assignments and local declarations are right, so a multiple assignment is rewritten into them:
//
//	do
//	  local object, key = t, k        -- of each t[k] on the left
//	  local first, second = b, a      -- all values are read before the first is assigned
//	  b = second
//	  object[key] = first
//	end
//
// https://github.com/yuin/gopher-lua/issues/440

// rewriteBlock rewrites the multiple assignments of a block and of everything in it.
func rewriteBlock(stmts []ast.Stmt) {
	for i, stmt := range stmts {
		rewriteInside(stmt)
		if assign, ok := stmt.(*ast.AssignStmt); ok && len(assign.Lhs) > 1 {
			stmts[i] = splitAssignment(assign)
		}
	}
}

// rewriteInside rewrites the blocks and the functions inside a statement.
func rewriteInside(stmt ast.Stmt) {
	switch s := stmt.(type) {
	case *ast.AssignStmt:
		rewriteExprs(s.Lhs...)
		rewriteExprs(s.Rhs...)
	case *ast.LocalAssignStmt:
		rewriteExprs(s.Exprs...)
	case *ast.FuncCallStmt:
		rewriteExprs(s.Expr)
	case *ast.ReturnStmt:
		rewriteExprs(s.Exprs...)
	case *ast.FuncDefStmt:
		rewriteBlock(s.Func.Stmts)
	case *ast.DoBlockStmt:
		rewriteBlock(s.Stmts)
	case *ast.WhileStmt:
		rewriteExprs(s.Condition)
		rewriteBlock(s.Stmts)
	case *ast.RepeatStmt:
		rewriteExprs(s.Condition)
		rewriteBlock(s.Stmts)
	case *ast.IfStmt:
		rewriteExprs(s.Condition)
		rewriteBlock(s.Then)
		rewriteBlock(s.Else)
	case *ast.NumberForStmt:
		rewriteExprs(s.Init, s.Limit, s.Step)
		rewriteBlock(s.Stmts)
	case *ast.GenericForStmt:
		rewriteExprs(s.Exprs...)
		rewriteBlock(s.Stmts)
	}
}

// rewriteExprs rewrites the functions inside expressions, which may be nil.
func rewriteExprs(exprs ...ast.Expr) {
	for _, expr := range exprs {
		switch e := expr.(type) {
		case *ast.FunctionExpr:
			rewriteBlock(e.Stmts)
		case *ast.TableExpr:
			for _, field := range e.Fields {
				rewriteExprs(field.Key, field.Value)
				field.Key = keepConstantsSmall(field.Key)
			}
		case *ast.AttrGetExpr:
			rewriteExprs(e.Object, e.Key)
			e.Key = keepConstantsSmall(e.Key)
		default:
			rewriteExprs(parts(expr)...)
		}
	}
}

// splitAssignment returns the block that stands for a multiple assignment.
func splitAssignment(assign *ast.AssignStmt) ast.Stmt {
	places, values := &ast.LocalAssignStmt{}, &ast.LocalAssignStmt{Exprs: assign.Rhs}
	var moves []ast.Stmt
	for i, target := range assign.Lhs {
		if attr, ok := target.(*ast.AttrGetExpr); ok {
			target = at(target, &ast.AttrGetExpr{
				Object: keep(places, fmt.Sprintf("(object %d)", i), attr.Object),
				Key:    keep(places, fmt.Sprintf("(key %d)", i), attr.Key),
			})
		}
		name := fmt.Sprintf("(value %d)", i) // no identifier looks like this
		values.Names = append(values.Names, name)
		move := &ast.AssignStmt{Lhs: []ast.Expr{target}, Rhs: []ast.Expr{at(target, &ast.IdentExpr{Value: name})}}
		moves = append([]ast.Stmt{at(target, move)}, moves...) // the last is assigned first, as in Lua
	}
	block := &ast.DoBlockStmt{}
	if len(places.Names) > 0 {
		block.Stmts = append(block.Stmts, at(assign, places))
	}
	block.Stmts = append(append(block.Stmts, at(assign, values)), moves...)
	return at(assign, block)
}

// keep declares a local variable for an expression on the left and returns what stands for it. Constants need none.
func keep(places *ast.LocalAssignStmt, name string, expr ast.Expr) ast.Expr {
	if _, ok := expr.(ast.ConstExpr); ok {
		return expr
	}
	places.Names = append(places.Names, name)
	places.Exprs = append(places.Exprs, expr)
	return at(expr, &ast.IdentExpr{Value: name})
}

// at gives a new node the position of the one it stands for.
func at[T ast.PositionHolder](original ast.PositionHolder, node T) T {
	node.SetLine(original.Line())
	node.SetLastLine(original.LastLine())
	return node
}

// keepConstantsSmall makes an instruction that has key as its key find it in a register, unless it is a small number or
// no constant: the functions of the instructions do not see the constants of a script, and have to look at great indexes.
func keepConstantsSmall(key ast.Expr) ast.Expr {
	if !isNumber(key) {
		return key
	}
	if n, ok := key.(*ast.NumberExpr); ok {
		if i, err := strconv.Atoi(n.Value); err == nil && i < nearby {
			return key
		}
	}
	return at(key, &ast.LogicalOpExpr{Operator: "or", Lhs: key, Rhs: at(key, &ast.FalseExpr{})})
}

// isNumber reports whether the compiler may make a constant number of an expression.
func isNumber(expr ast.Expr) bool {
	switch e := expr.(type) {
	case *ast.NumberExpr:
		return true
	case *ast.ArithmeticOpExpr:
		return isNumber(e.Lhs) && isNumber(e.Rhs)
	case *ast.UnaryMinusOpExpr:
		return isNumber(e.Expr)
	default:
		return false
	}
}
