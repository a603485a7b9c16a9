package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/plainfile"
)

// unit is a compiled script. It is not changed after it was made and shared by all processes that run it.
type unit struct {
	id     registry.ID
	code   process.Code
	method string // of processes
	source string
	chunk  string // what positions in error messages begin with
	proto  *lua.FunctionProto
	text   *source // of proto
}

// newUnit reads and compiles the script of an entry. old is its predecessor or nil; an unchanged script is not
// compiled again.
func newUnit(appDir string, entry *registry.Entry, code process.Code, method string, old *unit) (*unit, error) {
	u := &unit{id: entry.ID, code: code, method: method, source: code.Source, chunk: entry.ID.String()}
	if code.File() != "" {
		if err := u.read(appDir, filepath.Join(entry.Dir, filepath.FromSlash(code.File()))); err != nil {
			return nil, fmt.Errorf("lua: entry %q: %w", entry.ID, err)
		}
	}
	if old != nil && old.source == u.source && old.chunk == u.chunk {
		u.proto, u.text = old.proto, old.text
		return u, nil
	}
	if err := u.compile(); err != nil {
		return nil, fmt.Errorf("lua: entry %q: %w", entry.ID, err)
	}
	return u, nil
}

func (u *unit) read(appDir, path string) error {
	text, err := plainfile.Read(path)
	if errors.Is(err, os.ErrNotExist) {
		return errs.New(errs.Invalid, "source: there is no file %s", path)
	}
	if err != nil {
		return errs.New(errs.Invalid, "source: %s: %w", path, err)
	}
	u.source, u.chunk = string(text), relative(appDir, path)
	return nil
}

// relative returns path as seen from dir if it is below it.
func relative(dir, path string) string {
	from, err1 := filepath.Abs(dir)
	to, err2 := filepath.Abs(path)
	if err := errors.Join(err1, err2); err != nil {
		return path
	}
	rel, err := filepath.Rel(from, to)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return path
	}
	return filepath.ToSlash(rel)
}

// parse returns the syntax tree of the script.
func (u *unit) parse() ([]ast.Stmt, error) {
	text := bytes.TrimPrefix([]byte(u.source), []byte("\uFEFF")) // some editors begin files with it
	if bytes.HasPrefix(text, []byte("#")) {                      // a first line for the shell keeps its number
		text = append([]byte("--"), text...)
	}
	block, err := parse.Parse(bytes.NewReader(text), u.chunk)
	if err != nil {
		return nil, syntaxError(u.chunk, u.source, err)
	}
	return block, nil
}

func (u *unit) compile() error {
	block, err := u.parse()
	if err != nil {
		return err
	}
	rewriteBlock(block)
	origin := numberNodes(block)
	proto, err := lua.Compile(block, u.chunk)
	if e, ok := errors.AsType[*lua.CompileError](err); ok {
		e.Line = origin.line(e.Line)
	}
	if err != nil {
		return syntaxError(u.chunk, u.source, err)
	}
	origin.restore(proto)
	u.proto, u.text = proto, origin
	return nil
}

// owns reports whether a function is one of the script's.
func (u *unit) owns(f *lua.LFunction) bool {
	_, ok := u.text.sites[f.Proto]
	return ok
}

// syntaxError rewrites the compiler's errors in the form file:line: text.
func syntaxError(chunk, source string, err error) error {
	if e, ok := errors.AsType[*lua.CompileError](err); ok {
		return errs.New(errs.Invalid, "%s:%d: %s", chunk, e.Line, e.Message)
	}
	e, ok := errors.AsType[*parse.Error](err)
	if !ok {
		return errs.New(errs.Invalid, "%s: %w", chunk, err)
	}
	if e.Pos.Line == parse.EOF {
		return errs.New(errs.Invalid, "%s:%d: %s at the end of the script", chunk, strings.Count(source, "\n")+1, e.Message)
	}
	return errs.New(errs.Invalid, "%s:%d: %s near %q", chunk, e.Pos.Line, e.Message, e.Token)
}

// allows reports whether the script lists a built-in module.
func (u *unit) allows(module string) bool { return slices.Contains(u.code.Modules, module) }
