package postgres

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// emptyPatience bounds the look into a table, which may be locked.
const emptyPatience = time.Second

// schemaChange describes what has become of a publication that no change tells, "" if there is nothing. empty looks
// whether a table has no rows; note is told of what makes no copy wrong that is complete so far.
func schemaChange(was, is *shape, empty func(t table) bool, note func(text string)) string {
	switch {
	case is.publication == 0:
		return "it was dropped"
	case is.publication != was.publication:
		return "it was dropped and made anew"
	case is.options != was.options:
		return "it publishes other operations or columns than before"
	}
	names := make(map[table]struct{}, len(is.tables))
	for id, t := range is.tables {
		names[t.table] = struct{}{}
		if was.tables[id] == nil {
			note("it has another table, whose rows of before come with a snapshot only: " + t.quoted())
		}
	}
	for _, id := range ordered(was.tables, func(t *shapedTable) table { return t.table }) {
		before, now := was.tables[id], is.tables[id]
		if now != nil {
			if text := now.schemaChange(before, empty); text != "" {
				return text
			}
			continue
		}
		if _, replaced := names[before.table]; before.implied && !replaced {
			note("a table was dropped, and no change has told so: " + before.quoted())
			continue
		}
		return fmt.Sprintf("table %s was dropped or replaced, or has left the publication", before.quoted())
	}
	return ""
}

// ordered returns the OIDs of a map in the order of names, so that the same thing is said first each time.
func ordered[T any](all map[uint32]T, name func(T) table) []uint32 {
	return slices.SortedFunc(maps.Keys(all), func(a, b uint32) int {
		x, y := name(all[a]), name(all[b])
		return cmp.Or(cmp.Compare(x.schema, y.schema), cmp.Compare(x.name, y.name))
	})
}

// schemaChange describes what has become of a table since it was what before says.
func (t *shapedTable) schemaChange(before *shapedTable, empty func(t table) bool) string {
	switch {
	case t.table != before.table:
		return fmt.Sprintf("table %s was renamed to %s", before.quoted(), t.quoted())
	case t.member != before.member && before.member != 0:
		return fmt.Sprintf("table %s had left the publication", t.quoted())
	case t.part != before.part:
		return fmt.Sprintf("another part of table %s is published", t.quoted())
	}
	name := func(n node) table { return n.table }
	for _, id := range ordered(before.nodes, name) {
		old := before.nodes[id]
		if n, there := t.nodes[id]; !there || n.parent != old.parent || n.edge != old.edge {
			return fmt.Sprintf("partition %s of table %s was detached or dropped", old.quoted(), t.quoted())
		}
	}
	truncated := t.truncated(before)
	for _, id := range ordered(t.nodes, name) {
		n := t.nodes[id]
		old, there := before.nodes[id]
		switch {
		case !there && !n.born && !empty(n.table):
			return fmt.Sprintf("partition %s was attached to table %s with rows in it", n.quoted(), t.quoted())
		case !there:
		case n.valued > old.columns:
			return fmt.Sprintf("a column with a default was added to table %s: rows have a value that was not told", t.quoted())
		case n.file != old.file && n.written != old.written:
			return fmt.Sprintf("table %s was rewritten by an ALTER TABLE", n.quoted())
		case n.file != old.file && n.parent != 0 && !truncated:
			return fmt.Sprintf("partition %s of table %s was truncated or rewritten", n.quoted(), t.quoted())
		}
	}
	return ""
}

// truncated reports whether the partitions look as if the table was truncated as a whole, which is told as a change:
// one transaction has given all of them new files.
func (t *shapedTable) truncated(before *shapedTable) bool {
	leaves := 0
	filed := make(map[int64]struct{})
	for id, n := range t.nodes {
		old, there := before.nodes[id]
		if !n.leaf || !there {
			continue
		}
		if n.file == old.file {
			return false
		}
		leaves++
		filed[n.filed] = struct{}{}
	}
	return leaves > 1 && len(filed) == 1
}

// checkShape finds out whether what is published has become something else. Streams that are open end with the error
// that it returns; without any, the next one hears of it.
func (r *run) checkShape(ctx context.Context) error {
	now, err := r.lookShape(ctx)
	if err != nil {
		return nil //nolint:nilerr // it is looked at again
	}
	was := r.source.shape
	if was == nil {
		r.source.shape = now
		return nil
	}
	text := schemaChange(was, now, func(t table) bool { return r.isEmpty(ctx, t) }, func(text string) {
		r.source.logger().WarnContext(ctx, "the publication has changed", "publication", publicationOf(r.source.config), "how", text)
	})
	if text != "" {
		text = fmt.Sprintf("publication %q: %s: the server tells no changes of that", publicationOf(r.source.config), text)
		end, err := r.writtenUpTo(ctx)
		if err != nil {
			return nil //nolint:nilerr // it is looked at again
		}
		r.source.shape = now
		if gap, watched := r.miss(ctx, &missing{after: was.at, before: end + 1, text: text}); watched {
			return gap
		}
	}
	r.source.shape = now
	return nil
}

// isEmpty reports whether a table has no rows for sure.
func (r *run) isEmpty(ctx context.Context, t table) bool {
	ctx, cancel := context.WithTimeout(ctx, emptyPatience)
	defer cancel()
	var empty bool
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return false
	}
	defer tx.Rollback() //nolint:errcheck // it has written nothing
	if _, err := tx.ExecContext(ctx, "SET LOCAL row_security = off"); err != nil {
		return false
	}
	err = tx.QueryRowContext(ctx, "SELECT NOT EXISTS (SELECT FROM "+t.quoted()+")").Scan(&empty)
	return err == nil && empty
}
