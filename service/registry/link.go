package registry

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// link checks that references lead to entries of the right kind and fills in what each entry requires.
func link(records []*record, byID map[registry.ID]*rawEntry, r *report) {
	for _, rec := range records {
		for _, ref := range rec.refs {
			at := registry.Position{File: rec.entry.Position.File, Line: ref.line}
			target := byID[ref.target]
			switch {
			case target == nil:
				r.addf(at, rec.entry.ID, ref.field, "there is no entry %s%s", ref.shown, suggestEntry(ref, byID))
				continue
			case !target.known:
				continue
			case ref.kinds != nil && !slices.Contains(ref.kinds, string(target.kind)):
				r.addf(at, rec.entry.ID, ref.field, "the entry %s is a %s (%s), but a %s is needed here",
					ref.shown, target.kind, target.at, strings.Join(ref.kinds, " or "))
				continue
			}
			if !slices.Contains(rec.entry.Requires, ref.target) {
				rec.entry.Requires = append(rec.entry.Requires, ref.target)
			}
		}
	}
}

// checkLinks lets entries check what they refer to beyond its kind.
func checkLinks(records []*record, r *report) {
	configs := make(map[registry.ID]registry.Config, len(records))
	for _, rec := range records {
		configs[rec.entry.ID] = rec.entry.Config
	}
	for _, rec := range records {
		linked, ok := rec.entry.Config.(registry.Linked)
		if !ok {
			continue
		}
		for _, problem := range fieldErrors(linked.CheckLinks(rec.entry.ID, func(id registry.ID) registry.Config { return configs[id] })) {
			r.addf(rec.at(problem.Field), rec.entry.ID, problem.Field, "%s", problem.Problem)
		}
	}
}

// fieldErrors lists the field errors that are joined in err.
func fieldErrors(err error) []*registry.FieldError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*registry.FieldError
		for _, err := range joined.Unwrap() {
			all = append(all, fieldErrors(err)...)
		}
		return all
	}
	if e, ok := errors.AsType[*registry.FieldError](err); ok {
		return []*registry.FieldError{e}
	}
	return nil
}

// suggestEntry names the entry that was probably meant, among those of an accepted kind.
func suggestEntry(ref reference, byID map[registry.ID]*rawEntry) string {
	if strings.HasPrefix(ref.shown, "that ") {
		return ""
	}
	var candidates []string
	for id, raw := range byID {
		if ref.kinds == nil || slices.Contains(ref.kinds, string(raw.kind)) {
			candidates = append(candidates, id.String())
		}
	}
	slices.Sort(candidates)
	switch {
	case ref.kinds == nil:
		return suggest.Hint(ref.target.String(), candidates)
	case len(candidates) == 0:
		return "; no entry is a " + strings.Join(ref.kinds, " or ")
	default:
		return suggest.Among(ref.target.String(), candidates)
	}
}

// order sorts the records so that what an entry requires comes before it, and otherwise as they are written.
// Cycles are reported.
func order(records []*record, r *report) []*record {
	slices.SortStableFunc(records, func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(a.entry.Position.File, b.entry.Position.File),
			cmp.Compare(a.entry.Position.Line, b.entry.Position.Line),
		)
	})
	s := sorter{byID: make(map[registry.ID]*record, len(records)), done: make(map[registry.ID]bool), report: r}
	for _, rec := range records {
		s.byID[rec.entry.ID] = rec
	}
	for _, rec := range records {
		s.visit(rec)
	}
	return s.sorted
}

// sorter walks the graph of requirements depth first.
type sorter struct {
	byID   map[registry.ID]*record
	done   map[registry.ID]bool
	path   []registry.ID
	sorted []*record
	report *report
}

func (s *sorter) visit(rec *record) {
	id := rec.entry.ID
	if s.done[id] {
		return
	}
	if i := slices.Index(s.path, id); i >= 0 {
		s.reportCycle(s.path[i:])
		return
	}
	s.path = append(s.path, id)
	for _, required := range rec.entry.Requires {
		if next := s.byID[required]; next != nil {
			s.visit(next)
		}
	}
	s.path = s.path[:len(s.path)-1]
	s.done[id] = true
	s.sorted = append(s.sorted, rec)
}

// reportCycle reports a cycle at the field that closes it: the reference from its last entry to its first.
func (s *sorter) reportCycle(cycle []registry.ID) {
	names := make([]string, 0, len(cycle)+1)
	for _, id := range append(slices.Clone(cycle), cycle[0]) {
		names = append(names, id.String())
	}
	last := s.byID[cycle[len(cycle)-1]]
	for _, ref := range last.refs {
		if ref.target == cycle[0] {
			at := registry.Position{File: last.entry.Position.File, Line: ref.line}
			s.report.addf(at, last.entry.ID, ref.field, "requires itself: %s", strings.Join(names, " -> "))
			return
		}
	}
}

// dependents returns the entries that require one of ids, directly or not.
func dependents(states []*State, ids map[registry.ID]bool) map[registry.ID]bool {
	found := make(map[registry.ID]bool)
	for _, state := range states {
		seen := maps.Clone(ids)
		// In starting order every entry comes after what it requires, so that one pass is enough.
		for _, rec := range state.records {
			if slices.ContainsFunc(rec.entry.Requires, func(id registry.ID) bool { return seen[id] }) {
				seen[rec.entry.ID], found[rec.entry.ID] = true, true
			}
		}
	}
	return found
}
