package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// quote writes a name as an identifier of SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal writes a text as a constant of SQL.
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

// table is the name of a table as the server has it.
type table struct{ schema, name string }

func (t table) quoted() string { return quote(t.schema) + "." + quote(t.name) }

// named finds what has a name in the catalogs: an exact match comes first, then what the search path shows. The case of
// ASCII letters does not count, as for streams; %s selects kinds.
const named = `FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind %s AND lower(c.relname COLLATE "C") = lower($2 COLLATE "C")
		AND ($1 = '' OR lower(n.nspname COLLATE "C") = lower($1 COLLATE "C"))
		AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%%'
	ORDER BY c.relname = $2 DESC, n.nspname = $1 DESC, pg_table_is_visible(c.oid) DESC, n.nspname = 'public' DESC, n.nspname
	LIMIT 1`

// findTable finds the table that an entry names: bare or qualified, in any case. An exact match comes first, then what
// the search path shows.
func findTable(ctx context.Context, db *sql.DB, name string) (table, error) {
	schema, bare, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, bare = "", name
	}
	var t table
	err := db.QueryRowContext(ctx, "SELECT n.nspname, c.relname "+fmt.Sprintf(named, "IN ('r', 'p')"), schema, bare).Scan(&t.schema, &t.name)
	if errors.Is(err, sql.ErrNoRows) {
		return t, notATable(ctx, db, name, schema, bare)
	}
	return t, classify(ctx, err)
}

// notATable says why there is no table of this name. It may be made by the app itself, which is why it is worth another
// try.
func notATable(ctx context.Context, db *sql.DB, name, schema, bare string) error {
	var kind string
	err := db.QueryRowContext(ctx, `
		SELECT CASE c.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
			WHEN 'S' THEN 'a sequence' WHEN 'c' THEN 'a type' ELSE 'an index' END `+fmt.Sprintf(named, "NOT IN ('r', 'p', 't')"), schema, bare).Scan(&kind)
	switch {
	case err == nil:
		return errs.New(errs.Unavailable, "%q is %s, and only tables have changes: name the tables behind it instead", name, kind)
	case errors.Is(err, sql.ErrNoRows):
		return errs.New(errs.Unavailable, "table %q does not exist: create it", name)
	default:
		return classify(ctx, err)
	}
}
