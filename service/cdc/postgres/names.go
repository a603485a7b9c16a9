package postgres

import (
	"context"
	"database/sql"
	"errors"
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

// findTable finds the table that an entry names: bare or qualified, in any case. An exact match comes first, then what
// the search path shows.
func findTable(ctx context.Context, db *sql.DB, name string) (table, error) {
	schema, bare, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, bare = "", name
	}
	var t table
	err := db.QueryRowContext(ctx, `
		SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND lower(c.relname) = lower($2) AND ($1 = '' OR lower(n.nspname) = lower($1))
			AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
		ORDER BY c.relname = $2 DESC, n.nspname = $1 DESC, pg_table_is_visible(c.oid) DESC, n.nspname = 'public' DESC, n.nspname
		LIMIT 1`, schema, bare).Scan(&t.schema, &t.name)
	if errors.Is(err, sql.ErrNoRows) {
		// It may be made by the app itself, which is why it is worth another try.
		return t, errs.New(errs.Unavailable, "table %q does not exist: create it", name)
	}
	return t, classify(ctx, err)
}
