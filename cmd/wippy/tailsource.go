package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// choose finds the source.
func (t *tail) choose(ctx context.Context, args []string) error {
	var all inspect.SourceList
	if err := t.client.get(ctx, "/api/sources", &all); err != nil {
		return err
	}
	var names []string
	for _, one := range all.Sources {
		names = append(names, one.ID)
	}
	switch {
	case len(args) == 1:
		t.source = sourceNamed(args[0], names)
	case len(names) == 1:
		t.source = names[0]
	case len(names) == 0:
		return errors.New("tail: the app has no source of changes: declare a db.cdc.sqlite or db.cdc.postgres")
	default:
		return fmt.Errorf("tail: the app has several sources, say which: %s", strings.Join(names, ", "))
	}
	at := slices.Index(names, t.source)
	if at < 0 {
		return fmt.Errorf("tail: the app has no source %q%s", t.source, suggest.Among(t.source, names))
	}
	t.replayable = all.Sources[at].Capabilities.Replayable
	return nil
}

// sourceNamed returns the ID of the only source that has a name without its namespace, else the name.
func sourceNamed(name string, ids []string) string {
	var found []string
	for _, id := range ids {
		if _, last, _ := strings.Cut(id, ":"); last == name {
			found = append(found, id)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return name
}

// tablesTimeout is how long tail waits for the list of tables before it begins without.
const tablesTimeout = time.Second

// lookForTables says which selected tables do not exist: they may be made later, and may as well be misspelt.
func (t *tail) lookForTables(ctx context.Context) {
	if !t.query.Has("tables") {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tablesTimeout)
	defer cancel()
	var existing inspect.TableList
	if t.client.get(ctx, "/api/sources/"+url.PathEscape(t.source)+"/tables", &existing) != nil {
		return // the app says in its log what is missing
	}
	for _, missing := range suggest.Missing(strings.Split(t.query.Get("tables"), ","), existing.Tables) {
		t.say("nothing comes of a table that does not exist, or that the source does not capture: %s", missing)
	}
}
