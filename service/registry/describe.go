package registry

import (
	"log/slog"

	"github.com/wippy-cdc/runtime/api/registry"
)

// Describe names the entries that a change set from a state is about, for a log: added, updated, restarted and deleted.
func Describe(from *State, set registry.ChangeSet) []any {
	groups := make(map[string][]string)
	for _, applied := range set.Applied {
		group := "added"
		switch {
		case applied.Update:
			group = "updated"
		case from.Entry(applied.Entry.ID) != nil:
			group = "restarted"
		}
		groups[group] = append(groups[group], applied.Entry.ID.String())
	}
	for _, ended := range set.Ended {
		if ended.Delete {
			groups["deleted"] = append(groups["deleted"], ended.Entry.ID.String())
		}
	}
	var attrs []any
	for _, group := range []string{"added", "updated", "restarted", "deleted"} {
		if ids := groups[group]; len(ids) > 0 {
			attrs = append(attrs, slog.Any(group, ids))
		}
	}
	return attrs
}
