package stream

import (
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// Selection says which changes a stream delivers: those that its source captures and its options ask for. It is
// immutable.
type Selection struct {
	source, stream []string
	ops            []api.Op
	schema         bool
}

// NewSelection returns the selection of a stream with the given options on a source that captures the tables named
// in source, nil or empty meaning all.
func NewSelection(source []string, opts api.StreamOptions) *Selection {
	return &Selection{
		source: slices.Clone(source), stream: slices.Clone(opts.Tables), ops: slices.Clone(opts.Ops), schema: opts.Schema,
	}
}

// Accepts reports whether changes of this kind to table are delivered. Those of tables of our own never are.
func (s *Selection) Accepts(table *sqlapi.Table, op api.Op) bool {
	return s.acceptsOp(op) &&
		anyNames(s.stream, table) && anyNames(s.source, table) && !api.Internal(table.Name)
}

// interest says for which transactions a stream is to be woken.
func (s *Selection) interest() log.Interest {
	tables := s.stream
	if len(tables) == 0 {
		tables = s.source
	}
	if len(tables) == 0 {
		tables = nil
	}
	return log.Interest{Tables: tables, Codes: log.CodesOf(s.acceptsOp)}
}

// codes returns the operations on a table that are delivered.
func (s *Selection) codes(table *sqlapi.Table) log.Codes {
	return log.CodesOf(func(op api.Op) bool { return s.Accepts(table, op) })
}

func (s *Selection) acceptsOp(op api.Op) bool {
	switch op {
	case api.OpSchema:
		return s.schema
	case api.OpSnapshot:
		return true
	default:
		return len(s.ops) == 0 || slices.Contains(s.ops, op)
	}
}

func anyNames(names []string, table *sqlapi.Table) bool {
	if len(names) == 0 {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return isName(name, table) })
}

// isName reports whether name, bare or qualified, is table.
func isName(name string, table *sqlapi.Table) bool {
	if sameName(name, table.Name) {
		return true
	}
	n := len(table.Schema)
	return len(name) == n+1+len(table.Name) && name[n] == '.' &&
		sameName(name[:n], table.Schema) && sameName(name[n+1:], table.Name)
}

// sameName compares identifiers as SQLite does: the case of ASCII letters does not count, that of others does.
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// checkTables reports the tables of a stream that its source does not capture: the stream would wait for ever.
func checkTables(source, tables []string) error {
	if len(source) == 0 {
		return nil
	}
	for _, name := range tables {
		if !Names(source, name) {
			return errs.New(errs.Invalid, "tables has %q, which the source does not capture: it captures %s",
				name, strings.Join(source, ", "))
		}
	}
	return nil
}

// Names reports whether one of the tables can be the one that name means, each of them bare or qualified.
func Names(tables []string, name string) bool {
	return slices.ContainsFunc(tables, func(table string) bool { return mayBeSame(table, name) })
}

// mayBeSame reports whether two names, each bare or qualified, can mean the same table.
func mayBeSame(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	bare := len(a) - len(b)
	return sameName(a[bare:], b) && (bare == 0 || a[bare-1] == '.')
}
