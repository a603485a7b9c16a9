package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// refused is a table whose updates and deletes the server refuses to every writer while it is published, see
// https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY.
type refused struct {
	table
	// bare says that nothing identifies its rows, virtual that REPLICA IDENTITY FULL does and that some of its columns cannot
	// be published.
	bare, virtual bool
	// stored names generated columns that identify rows and can be published.
	stored string
}

// cure says what to do about the table.
func (t *refused) cure() string {
	switch {
	case t.bare:
		return "nothing identifies its rows: give it a primary key that is not deferrable, or type ALTER TABLE " + t.quoted() + " REPLICA IDENTITY FULL"
	case t.virtual:
		return "it has REPLICA IDENTITY FULL and virtual generated columns: type ALTER TABLE " + t.quoted() +
			" REPLICA IDENTITY DEFAULT if it has a primary key, or make the columns STORED"
	default:
		return "generated columns identify its rows (" + t.stored + "): type ALTER PUBLICATION … SET (publish_generated_columns = stored)"
	}
}

// refusals lists the tables, or their partitions, that cannot be updated while they are published, or as far as they are.
// From version 18 on generated columns must be published if they identify rows; generated says whether the stored
// ones are.
func (r *run) refusals(ctx context.Context, tables []string, generated bool) ([]refused, error) {
	rows, err := r.db.QueryContext(ctx, `
		WITH named AS (SELECT to_regclass(name)::oid AS oid FROM unnest($1::text[]) name),
			leaf AS (SELECT oid FROM named UNION SELECT t.relid FROM named, pg_partition_tree(named.oid) t WHERE t.isleaf),
			candidate AS (
				SELECT c.oid, n.nspname, c.relname, c.relreplident AS identity, i.indrelid IS NULL AS keyless, i.indkey
				FROM leaf JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
					LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indimmediate
						AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
				WHERE c.relkind = 'r'),
			judged AS (
				SELECT nspname, relname, identity <> 'f' AND keyless AS bare,
					$2 AND identity = 'f' AND EXISTS (SELECT FROM pg_attribute a
						WHERE a.attrelid = candidate.oid AND NOT a.attisdropped AND a.attgenerated = 'v') AS virtual,
					coalesce((SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a
						WHERE $2 AND NOT $3 AND a.attrelid = candidate.oid AND NOT a.attisdropped AND a.attgenerated = 's'
							AND (identity = 'f' OR a.attnum = ANY (indkey::int2[]))), '') AS stored
				FROM candidate)
		SELECT nspname, relname, bare, virtual, stored FROM judged WHERE bare OR virtual OR stored <> '' ORDER BY 1, 2`,
		tables, r.server.version >= 180000, generated)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []refused
	for rows.Next() {
		var t refused
		if err := rows.Scan(&t.schema, &t.name, &t.bare, &t.virtual, &t.stored); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, classify(ctx, rows.Err())
}

// refuseGenerated refuses to publish tables whose generated columns would make the server refuse their writers: the
// source's own publication has all that can be published. The table may be mended without the app.
func (r *run) refuseGenerated(ctx context.Context, wanted []string) error {
	all, err := r.refusals(ctx, wanted, true)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.virtual {
			return errs.New(errs.Unavailable, "table %s is not published, because the server would refuse its updates and deletes to every writer: %s",
				t.quoted(), t.cure())
		}
	}
	return nil
}

// warnOfRefusals tells, once, of the tables whose updates and deletes the server refuses because they are published. Tables
// may become so while the source runs.
func (r *run) warnOfRefusals(ctx context.Context) error {
	all, err := r.published(ctx)
	if err != nil {
		return classify(ctx, err)
	}
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.quoted()
	}
	generated := false
	if r.server.version >= 180000 {
		err = r.db.QueryRowContext(ctx, "SELECT pubgencols = 's' FROM pg_publication WHERE pubname = $1", publicationOf(r.source.config)).Scan(&generated)
		if err != nil {
			return classify(ctx, err)
		}
	}
	refused, err := r.refusals(ctx, names, generated)
	if err != nil {
		return err
	}
	var told strings.Builder
	for _, t := range refused {
		line := fmt.Sprintf("%s %s\n", t.quoted(), t.cure())
		told.WriteString(line)
		if !strings.Contains(r.refusing, line) {
			r.source.logger().WarnContext(ctx, "the server refuses updates and deletes of a table because it is published",
				"table", t.quoted(), "cure", t.cure())
		}
	}
	r.refusing = told.String()
	return nil
}
