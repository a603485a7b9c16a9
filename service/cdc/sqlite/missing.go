package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/internal/suggest"
)

// missingPatience is how long the start of a source waits for the writer to look for its tables.
const missingPatience = time.Second

// tellMissing warns, once, of selected tables that do not exist. They may be created later, and may as well be misspelt.
func tellMissing(ctx context.Context, pool *sql.DB, selected []string, log *slog.Logger) {
	if len(selected) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, missingPatience)
	defer cancel()
	existing, err := tableNames(ctx, pool)
	if err != nil {
		log.DebugContext(ctx, "whether the selected tables exist is not known", "error", err)
		return
	}
	known := make(map[string]bool, len(existing))
	for _, name := range existing {
		known[strings.ToLower(name)] = true
	}
	var missing []string
	for _, name := range selected {
		plain := name
		if schema, rest, ok := strings.Cut(name, "."); ok && strings.EqualFold(schema, "main") {
			plain = rest
		}
		if !known[strings.ToLower(plain)] {
			missing = append(missing, name+suggest.Hint(plain, existing))
		}
	}
	if len(missing) > 0 {
		log.WarnContext(ctx, "tables that the source selects do not exist; nothing is delivered of them until they are created", "tables", missing)
	}
}

// tableNames lists the tables of main that hold rows of their own.
func tableNames(ctx context.Context, pool *sql.DB) (names []string, err error) {
	rows, err := pool.QueryContext(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
