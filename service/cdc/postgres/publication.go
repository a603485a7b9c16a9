package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// publicationOf returns the publication that a source reads: that of the entry, or one made for its tables.
func publicationOf(config *api.PostgresConfig) string {
	if config.Publication != "" {
		return config.Publication
	}
	return config.SlotName + "_pub"
}

// preparePublication sees to it that the publication exists and has the tables of the entry. It returns these if the
// publication is the source's own.
func (r *run) preparePublication(ctx context.Context) ([]string, error) {
	config := r.source.config
	name := publicationOf(config)
	exists, err := publicationExists(ctx, r.db, name)
	switch {
	case err != nil:
		return nil, err
	case config.Publication != "" && !exists:
		return nil, errs.New(errs.Invalid, "publication %q does not exist: type CREATE PUBLICATION %s FOR TABLE …, or give tables instead", name, quote(name))
	case config.Publication != "":
		return nil, nil
	}
	var wanted []string
	for _, name := range config.Tables {
		t, err := findTable(ctx, r.db, name)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, t.quoted())
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	if err := r.refuseGenerated(ctx, wanted); err != nil {
		return nil, err
	}
	return wanted, publicationError(ctx, name, r.publish(ctx, name, exists, wanted))
}

// publish makes the source's own publication, or mends it. Changes of partitions are told as those of the table that is
// named.
func (r *run) publish(ctx context.Context, name string, exists bool, wanted []string) error {
	list := strings.Join(wanted, ", ")
	only := "ONLY " + strings.Join(wanted, ", ONLY ") // tables that inherit are tables of their own
	if !exists {
		if now, err := lookSlot(ctx, r.db, r.source.config.SlotName); err == nil && now.exists {
			r.source.logger().WarnContext(ctx, "the publication is made anew: what was committed before was not captured, as far as the slot has not been read",
				"publication", name, "slot", r.source.config.SlotName)
		}
		_, err := r.db.ExecContext(ctx, "CREATE PUBLICATION "+quote(name)+" FOR TABLE "+only+" WITH ("+r.publicationOptions()+")")
		return err
	}
	var complete bool
	err := r.db.QueryRowContext(ctx, `
		SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot AND coalesce(to_jsonb(p)->>'pubgencols', 's') = 's'
		FROM pg_publication p WHERE pubname = $1`, name).Scan(&complete)
	if err == nil && !complete {
		_, err = r.db.ExecContext(ctx, "ALTER PUBLICATION "+quote(name)+" SET ("+r.publicationOptions()+")")
	}
	if err != nil {
		return err
	}
	present, err := publishedTables(ctx, r.db, name)
	if err != nil || slices.Equal(present, wanted) {
		return err
	}
	r.source.logger().WarnContext(ctx, "the publication is changed to what the entry says: what was committed to tables that are added was not captured",
		"publication", name, "had", strings.Join(present, ", "), "has", list)
	_, err = r.db.ExecContext(ctx, "ALTER PUBLICATION "+quote(name)+" SET TABLE "+only)
	return err
}

// publicationOptions are those of the source's own publication. From version 18 on the server refuses updates and
// deletes of tables whose rows are identified by generated columns that are not published, which any ALTER TABLE may
// make of a table.
func (r *run) publicationOptions() string {
	options := "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
	if r.server.version >= 180000 {
		options += ", publish_generated_columns = stored"
	}
	return options
}

// checkPublication finds out whether a table has left the source's own publication: one that is dropped does, and one
// that is renamed keeps its place under its new name, while nothing captures its successor.
func (r *run) checkPublication(ctx context.Context) error {
	if r.tables == nil {
		return nil
	}
	name := publicationOf(r.source.config)
	present, err := publishedTables(ctx, r.db, name)
	if err != nil || slices.Equal(present, r.tables) {
		return nil //nolint:nilerr // it is looked at again
	}
	end, err := r.writtenUpTo(ctx)
	if err != nil {
		return nil //nolint:nilerr // it is looked at again
	}
	m := &missing{before: end + 1, text: fmt.Sprintf("publication %q has the tables %s instead of %s: a table was dropped, renamed or replaced, "+
		"and what was changed since is not captured", name, strings.Join(present, ", "), strings.Join(r.tables, ", "))}
	if r.source.shape != nil {
		m.after = r.source.shape.at
	}
	r.source.shape = nil // what it would say in the next run is said
	gap, _ := r.miss(ctx, m)
	return gap // whether a stream hears of it now or later, the next run has to mend the publication
}

func publicationError(ctx context.Context, name string, err error) error {
	if err == nil {
		return nil
	}
	err = readOnly(classify(ctx, err))
	if sqlstate.Code(err) != readOnlyTransaction && errs.Is(err, errs.PermissionDenied) {
		err = errs.New(errs.PermissionDenied, "%w: the role must own the tables and may need GRANT CREATE ON DATABASE; "+
			"or have the publication made by another role and name it in the field publication", err)
	}
	return fmt.Errorf("publication %q: %w", name, err)
}

func publicationExists(ctx context.Context, db *sql.DB, name string) (bool, error) {
	var found int
	err := db.QueryRowContext(ctx, "SELECT 1 FROM pg_publication WHERE pubname = $1", name).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, classify(ctx, err)
}

// publishedTables lists the tables of a publication, quoted and sorted. One of which only a part is published is listed
// as narrowed.
func publishedTables(ctx context.Context, db *sql.DB, name string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT n.nspname, c.relname, num_nonnulls(to_jsonb(r)->>'prattrs', to_jsonb(r)->>'prqual') > 0
		FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
			JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1`, name)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []string
	for rows.Next() {
		var t table
		var narrowed bool
		if err := rows.Scan(&t.schema, &t.name, &narrowed); err != nil {
			return nil, err
		}
		text := t.quoted()
		if narrowed {
			text += " (narrowed)"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all, classify(ctx, rows.Err())
}
