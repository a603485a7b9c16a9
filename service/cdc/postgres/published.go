package postgres

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// published is a table of a publication.
type published struct {
	table
	id uint32
	// kind is that of pg_class, identity its relreplident.
	kind, identity string
	// columns are those that are published, as an array of names, "" for all that are not generated: from version 18 on
	// generated ones may be published, and are among the names. filter selects rows, "" selects all.
	columns, filter string
}

// published lists the tables of the source's publication.
func (r *run) published(ctx context.Context) ([]published, error) {
	narrow := "'', ''"
	if r.server.version >= 150000 {
		narrow = "coalesce(p.attnames::text, ''), coalesce(p.rowfilter, '')"
	}
	rows, err := r.db.QueryContext(ctx, `
		SELECT p.schemaname, p.tablename, c.oid::bigint, c.relkind::text, c.relreplident::text, `+narrow+`
		FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
			JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
		WHERE p.pubname = $1 ORDER BY 1, 2`, publicationOf(r.source.config))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []published
	for rows.Next() {
		var p published
		if err := rows.Scan(&p.schema, &p.name, &p.id, &p.kind, &p.identity, &p.columns, &p.filter); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// unchanged reports whether the table exists in the snapshot of the transaction that is open on conn, and whether it still has
// the same name and the same files. Queries of the catalogs see them as of the snapshot, functions as they are now; a
// table that was rewritten since has no rows for the snapshot, see
// https://www.postgresql.org/docs/current/mvcc-caveats.html.
func (p *published) unchanged(ctx context.Context, conn *pgconn.PgConn) (exists, same bool, err error) {
	result := conn.ExecParams(ctx, `
		WITH RECURSIVE tree(oid) AS (
			SELECT oid FROM pg_class WHERE oid = $1::oid
			UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid WHERE $3 = 'p'),
		pinned(oid, file) AS (SELECT c.oid, c.relfilenode FROM tree JOIN pg_class c USING (oid) WHERE c.relkind = 'r'),
		present(oid, file) AS (
			SELECT $1::oid, pg_relation_filenode($1::oid) WHERE $3 = 'r'
			UNION ALL SELECT relid::oid, pg_relation_filenode(relid) FROM pg_partition_tree($1::oid) WHERE $3 = 'p' AND isleaf)
		SELECT EXISTS (SELECT FROM tree), to_regclass($2)::oid IS NOT DISTINCT FROM $1::oid
			AND NOT EXISTS (SELECT FROM pinned FULL JOIN present USING (oid, file) WHERE pinned.oid IS NULL OR present.oid IS NULL)`,
		[][]byte{[]byte(strconv.FormatUint(uint64(p.id), 10)), []byte(p.quoted()), []byte(p.kind)}, nil, nil, nil).Read()
	if result.Err != nil {
		return false, false, result.Err
	}
	row := result.Rows[0]
	return row[0][0] == 't', row[1][0] == 't', nil
}

// message describes the table the way the server does before it sends its changes.
func (p *published) message(ctx context.Context, db *sql.DB) (*pglogrepl.RelationMessage, error) {
	m := &pglogrepl.RelationMessage{
		RelationID: p.id, Namespace: p.schema, RelationName: p.name, ReplicaIdentity: p.identity[0],
	}
	rows, err := db.QueryContext(ctx, `
		SELECT a.attname, a.atttypid::bigint, a.atttypmod, coalesce(a.attnum = ANY (i.indkey::int2[]), false)
		FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid
			AND CASE $3 WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
		WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
			AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000 AND $2 <> '')
			AND ($2 = '' OR a.attname = ANY ($2::name[]))
		ORDER BY a.attnum`, int64(p.id), p.columns, p.identity)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		c := new(pglogrepl.RelationMessageColumn)
		var key bool
		if err := rows.Scan(&c.Name, &c.DataType, &c.TypeModifier, &key); err != nil {
			return nil, err
		}
		if key {
			c.Flags = 1
		}
		m.Columns = append(m.Columns, c)
	}
	return m, rows.Err()
}
