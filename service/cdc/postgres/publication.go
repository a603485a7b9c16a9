package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// publicationOf returns the publication that a source reads: that of the entry, or one made for its tables.
func publicationOf(config *api.PostgresConfig) string {
	if config.Publication != "" {
		return config.Publication
	}
	return config.SlotName + "_pub"
}

// preparePublication sees to it that the publication exists and has the tables of the entry.
func preparePublication(ctx context.Context, db *sql.DB, config *api.PostgresConfig) error {
	name := publicationOf(config)
	exists, err := publicationExists(ctx, db, name)
	switch {
	case err != nil:
		return err
	case config.Publication != "" && !exists:
		return errs.New(errs.Invalid, "publication %q does not exist: type CREATE PUBLICATION %s FOR TABLE …, or give tables instead", name, quote(name))
	case config.Publication != "":
		return nil
	}
	var wanted []string
	for _, name := range config.Tables {
		t, err := findTable(ctx, db, name)
		if err != nil {
			return err
		}
		wanted = append(wanted, t.quoted())
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	list := strings.Join(wanted, ", ")
	if !exists {
		// Changes of partitions are told as those of the table that is named.
		_, err := db.ExecContext(ctx, "CREATE PUBLICATION "+quote(name)+" FOR TABLE "+list+" WITH (publish_via_partition_root = true)")
		return publicationError(ctx, name, err)
	}
	present, err := publishedTables(ctx, db, name)
	if err != nil || slices.Equal(present, wanted) {
		return err
	}
	_, err = db.ExecContext(ctx, "ALTER PUBLICATION "+quote(name)+" SET TABLE "+list)
	return publicationError(ctx, name, err)
}

func publicationError(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	err = classify(ctx, err)
	if errs.Is(err, errs.PermissionDenied) {
		return errs.New(errs.PermissionDenied, "publication %q: %w: the role must own the tables and may need GRANT CREATE ON DATABASE; "+
			"or have the publication made by somebody else and name it in the field publication", name, err)
	}
	return err
}

func publicationExists(ctx context.Context, db *sql.DB, name string) (bool, error) {
	var found int
	err := db.QueryRowContext(ctx, "SELECT 1 FROM pg_publication WHERE pubname = $1", name).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, classify(ctx, err)
}

// publishedTables lists the tables of a publication, quoted and sorted.
func publishedTables(ctx context.Context, db *sql.DB, name string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT n.nspname, c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
			JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1`, name)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []string
	for rows.Next() {
		var t table
		if err := rows.Scan(&t.schema, &t.name); err != nil {
			return nil, err
		}
		all = append(all, t.quoted())
	}
	slices.Sort(all)
	return all, classify(ctx, rows.Err())
}
