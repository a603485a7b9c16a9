// Package registry reads what an app declares: YAML files become entries, decoded, validated and ordered by what
// they require, and the difference between two such states is applied through listeners.
package registry

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/printable"
)

// Problem is one thing that is wrong with the declarations.
type Problem struct {
	// Position is where it stands; the line is 0 if it concerns a whole file.
	Position registry.Position
	// ID is the entry, Field the path of its field; both may be empty.
	ID    registry.ID
	Field string
	// Text says what is wrong and what to write instead.
	Text string
}

// Where returns file:line, or the file if the problem concerns the whole of it.
func (p Problem) Where() string {
	if p.Position.Line > 0 {
		return p.Position.String()
	}
	return p.Position.File
}

// String returns "file:line: namespace:name: field: text".
func (p Problem) String() string {
	parts := make([]string, 0, 4)
	for _, part := range []string{p.Where(), p.ID.String(), p.Field, p.Text} {
		part = printable.Line(part)
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Attrs describes the problem for a log: at, entry, field and problem.
func (p Problem) Attrs() []any {
	attrs := []any{slog.String("at", p.Where())}
	if !p.ID.IsZero() {
		attrs = append(attrs, slog.String("entry", p.ID.String()))
	}
	if p.Field != "" {
		attrs = append(attrs, slog.String("field", p.Field))
	}
	return append(attrs, slog.String("problem", p.Text))
}

// Problems is everything that is wrong with the declarations, ordered by file and line. Load returns it inside an
// error of kind Invalid.
type Problems struct{ List []Problem }

// Error returns one problem per line.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, problem := range p.List {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// LogRefusal logs why declarations cannot take the place of those that run, one record for each problem.
func LogRefusal(logger *slog.Logger, err error) {
	problems, ok := errors.AsType[*Problems](err)
	if !ok {
		logger.Error("reload refused, the app goes on as it was", "error", err)
		return
	}
	for _, p := range problems.List {
		logger.Error("reload: problem", p.Attrs()...)
	}
	logger.Error("reload refused, the app goes on as it was", "problems", len(problems.List))
}

// report collects problems while declarations are read.
type report struct{ list []Problem }

func (r *report) addf(at registry.Position, id registry.ID, field, format string, args ...any) {
	r.list = append(r.list, Problem{Position: at, ID: id, Field: field, Text: fmt.Sprintf(format, args...)})
}

// err returns the problems in order, nil if there is none.
func (r *report) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Position.File, b.Position.File),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Field, b.Field),
		)
	})
	return &Problems{List: slices.Compact(r.list)}
}
