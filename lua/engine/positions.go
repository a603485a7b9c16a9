package engine

import (
	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// An error of the virtual machine names the line only, not the expression on it. The compiler copies the lines of the
// syntax tree's nodes to the instructions that it makes of them. So the nodes are numbered before the compiler sees
// them, and what it copies leads from an instruction back to its node; then the lines are put in place.

// firstNumber is greater than any line.
const firstNumber = 1 << 24

// source is what is known of the text that a script's instructions were made from.
type source struct {
	nodes []ast.PositionHolder // those whose positions were numbered
	lines []int                // where they are
	// variables tells what each name in the text means.
	variables map[*ast.IdentExpr]variable
	// receivers holds the objects of function object:method().
	receivers map[ast.Expr]bool
	// sites holds the nodes of the instructions of each function.
	sites map[*lua.FunctionProto][]ast.PositionHolder
}

// variable is what a name means.
type variable struct {
	kind     string               // local, upvalue or global
	declared *ast.LocalAssignStmt // the local statement, if it was that
	instead  ast.Expr             // what a variable that no script can name stands for
}

// numberNodes numbers the positions of a script's nodes.
func numberNodes(stmts []ast.Stmt) *source {
	s := &source{
		variables: map[*ast.IdentExpr]variable{}, receivers: map[ast.Expr]bool{},
		sites: map[*lua.FunctionProto][]ast.PositionHolder{},
	}
	w := &walker{source: s, scope: &scope{}}
	w.block(stmts)
	return s
}

// number gives a node a number in the place of its lines. An odd one, which the compiler makes of an even one, is the
// line behind.
func (s *source) number(node ast.PositionHolder) {
	line, last := node.Line(), node.LastLine()
	if line >= firstNumber {
		return
	}
	node.SetLine(s.add(node, line))
	node.SetLastLine(s.add(nil, last))
}

func (s *source) add(node ast.PositionHolder, line int) int {
	s.nodes, s.lines = append(s.nodes, node), append(s.lines, line)
	return firstNumber + 2*(len(s.lines)-1)
}

// line returns the line that a number stands for.
func (s *source) line(number int) int {
	if number < firstNumber {
		return number
	}
	i := number - firstNumber
	return s.lines[i/2] + i%2
}

// node returns the node that a number was given to, nil if there is none.
func (s *source) node(number int) ast.PositionHolder {
	if number < firstNumber || number%2 != 0 {
		return nil
	}
	return s.nodes[(number-firstNumber)/2]
}

// restore puts the lines into a compiled function and the functions in it, and remembers the nodes.
func (s *source) restore(proto *lua.FunctionProto) {
	proto.LineDefined, proto.LastLineDefined = s.line(proto.LineDefined), s.line(proto.LastLineDefined)
	sites := make([]ast.PositionHolder, len(proto.DbgSourcePositions))
	for pc, number := range proto.DbgSourcePositions {
		sites[pc], proto.DbgSourcePositions[pc] = s.node(number), s.line(number)
	}
	s.sites[proto] = sites
	for _, inner := range proto.FunctionPrototypes {
		s.restore(inner)
	}
}

// scope holds the local variables of a block.
type scope struct {
	outer    *scope
	function bool // its outer scope belongs to another function
	names    map[string]variable
}

// walker goes through a script as the compiler does.
type walker struct {
	*source
	scope *scope
}

func (w *walker) enter(function bool) { w.scope = &scope{outer: w.scope, function: function} }

func (w *walker) leave() { w.scope = w.scope.outer }

func (w *walker) declare(name string, v variable) {
	if w.scope.names == nil {
		w.scope.names = map[string]variable{}
	}
	v.kind = "local"
	w.scope.names[name] = v
}

func (w *walker) lookUp(name string) variable {
	kind := "local"
	for s := w.scope; s != nil; s = s.outer {
		if v, ok := s.names[name]; ok {
			v.kind = kind
			return v
		}
		if s.function {
			kind = "upvalue"
		}
	}
	return variable{kind: "global"}
}

// inside walks through a block of its own.
func (w *walker) inside(stmts []ast.Stmt) {
	w.enter(false)
	defer w.leave()
	w.block(stmts)
}

func (w *walker) block(stmts []ast.Stmt) {
	for _, stmt := range stmts {
		w.stmt(stmt)
	}
}

func (w *walker) stmt(stmt ast.Stmt) {
	switch s := stmt.(type) {
	case *ast.LabelStmt, *ast.GotoStmt:
		return // the compiler's errors write their lines
	case *ast.AssignStmt:
		w.exprs(s.Lhs...)
		w.exprs(s.Rhs...)
	case *ast.LocalAssignStmt:
		w.local(s)
	case *ast.FuncCallStmt:
		w.exprs(s.Expr)
	case *ast.ReturnStmt:
		w.exprs(s.Exprs...)
	case *ast.FuncDefStmt:
		w.exprs(s.Name.Func, s.Name.Receiver)
		if s.Name.Receiver != nil {
			w.receivers[s.Name.Receiver] = true
		}
		w.function(s.Func, s.Name.Receiver != nil)
	case *ast.IfStmt:
		w.exprs(s.Condition)
		w.inside(s.Then)
		w.inside(s.Else)
	default:
		w.loop(stmt)
	}
	w.number(stmt)
}

func (w *walker) loop(stmt ast.Stmt) {
	w.enter(false)
	defer w.leave()
	switch s := stmt.(type) {
	case *ast.DoBlockStmt:
		w.block(s.Stmts)
	case *ast.WhileStmt:
		w.exprs(s.Condition)
		w.block(s.Stmts)
	case *ast.RepeatStmt:
		w.block(s.Stmts)
		w.exprs(s.Condition)
	case *ast.NumberForStmt:
		w.exprs(s.Init, s.Limit, s.Step)
		w.declare(s.Name, variable{})
		w.block(s.Stmts)
	case *ast.GenericForStmt:
		w.exprs(s.Exprs...)
		for _, name := range s.Names {
			w.declare(name, variable{})
		}
		w.block(s.Stmts)
	}
}

// local declares the variables of a local statement: those that rewrite.go has made as well, which stand for the
// expressions that they hold.
func (w *walker) local(s *ast.LocalAssignStmt) {
	recursive := false
	if len(s.Names) == 1 && len(s.Exprs) == 1 {
		_, recursive = s.Exprs[0].(*ast.FunctionExpr)
	}
	if !recursive {
		w.exprs(s.Exprs...)
	}
	for i, name := range s.Names {
		v := variable{declared: s}
		if name[0] == '(' && i < len(s.Exprs) {
			v.instead = s.Exprs[i]
		}
		w.declare(name, v)
	}
	if recursive {
		w.exprs(s.Exprs...)
	}
}

func (w *walker) function(f *ast.FunctionExpr, method bool) {
	w.enter(true)
	defer w.leave()
	if method {
		w.declare("self", variable{})
	}
	for _, name := range f.ParList.Names {
		w.declare(name, variable{})
	}
	w.block(f.Stmts)
	w.number(f)
}

// exprs walks through expressions, which may be nil.
func (w *walker) exprs(exprs ...ast.Expr) {
	for _, expr := range exprs {
		switch e := expr.(type) {
		case nil:
			continue
		case *ast.FunctionExpr:
			w.function(e, false)
		case *ast.IdentExpr:
			w.variables[e] = w.lookUp(e.Value)
		case *ast.TableExpr:
			for _, field := range e.Fields {
				w.exprs(field.Key, field.Value)
			}
		default:
			w.exprs(parts(expr)...)
		}
		w.number(expr)
	}
}

// parts returns the expressions that an expression of another kind consists of.
func parts(expr ast.Expr) []ast.Expr {
	switch e := expr.(type) {
	case *ast.AttrGetExpr:
		return []ast.Expr{e.Object, e.Key}
	case *ast.FuncCallExpr:
		return append([]ast.Expr{e.Func, e.Receiver}, e.Args...)
	case *ast.LogicalOpExpr:
		return []ast.Expr{e.Lhs, e.Rhs}
	case *ast.RelationalOpExpr:
		return []ast.Expr{e.Lhs, e.Rhs}
	case *ast.StringConcatOpExpr:
		return []ast.Expr{e.Lhs, e.Rhs}
	case *ast.ArithmeticOpExpr:
		return []ast.Expr{e.Lhs, e.Rhs}
	case *ast.UnaryMinusOpExpr:
		return []ast.Expr{e.Expr}
	case *ast.UnaryNotOpExpr:
		return []ast.Expr{e.Expr}
	case *ast.UnaryLenOpExpr:
		return []ast.Expr{e.Expr}
	default:
		return nil
	}
}
