package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pglogrepl"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// shape is what a publication publishes, as far as the server tells no change when it becomes something else. Rows that
// come or go with a partition, values that an ALTER TABLE gives to all rows, and tables that leave a publication are in
// no WAL that is decoded.
type shape struct {
	// publication is its OID, 0 if there is none; options are what it publishes of each table.
	publication uint32
	options     string
	// tables are those that are published, by their OIDs.
	tables map[uint32]*shapedTable
	// at is how far the WAL reached before all of this was looked at.
	at pglogrepl.LSN
}

type shapedTable struct {
	table
	// member is the OID of the table's place in the publication, part what is published of it. A table that is there
	// because all of the database or of a schema are is implied.
	member  uint32
	part    string
	implied bool
	// nodes are the table and, if it is partitioned, all partitions below it, by their OIDs.
	nodes map[uint32]node
}

// node is a table that may have rows of its own.
type node struct {
	table
	leaf bool
	// parent is 0 for the table that is published. edge is the transaction that has made the node a partition, and born
	// says that it has made the table as one: what is in such a partition came as changes.
	parent uint32
	edge   int64
	born   bool
	// file holds the rows, and filed is the transaction that has written so in the catalogs.
	file  uint32
	filed int64
	// columns is the number of the last column, valued that of the last one for which all rows that were there when it
	// was added have a value, written which transactions have altered columns.
	columns, valued int
	written         string
}

// shapeQuery lists the nodes of all published tables. CREATE TABLE … PARTITION OF makes the table and three commands
// later the partition, in one transaction; ATTACH PARTITION comes later, if it is in the same one.
const shapeQuery = `
	WITH RECURSIVE published AS (
		SELECT c.oid, n.nspname, c.relname, coalesce(r.oid, 0) AS member, r.oid IS NULL AND NOT c.relispartition AS implied,
			concat_ws(' ', to_jsonb(r)->>'prattrs', to_jsonb(r)->>'prqual') AS part,
			coalesce(to_jsonb(p)->>'pubgencols', 'n') = 's' OR to_jsonb(r)->>'prattrs' IS NOT NULL AS generated
		FROM pg_publication p JOIN pg_publication_tables t USING (pubname) JOIN pg_namespace n ON n.nspname = t.schemaname
			JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
			LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
		WHERE p.pubname = $1 AND c.relname NOT IN ('` + api.OffsetsTable + `', '` + api.ParkedTable + `')),
	tree(root, oid, parent, edge, command) AS (
		SELECT oid, oid, 0::oid, 0::bigint, 0 FROM published
		UNION ALL
		SELECT tree.root, i.inhrelid, i.inhparent, i.xmin::text::bigint, i.cmin::text::int
		FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
	SELECT p.oid::bigint, p.nspname, p.relname, p.member::bigint, p.implied, p.part,
		c.oid::bigint, n.nspname, c.relname, c.relkind = 'r', tree.parent::bigint, tree.edge,
		(SELECT a.xmin::text::bigint = tree.edge AND tree.command - a.cmin::text::int <= 3
			FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = -1),
		c.relfilenode::bigint, c.xmin::text::bigint, c.relnatts, a.valued, a.written
	FROM tree JOIN published p ON p.oid = tree.root JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL (
			SELECT coalesce(max(a.attnum) FILTER (WHERE a.atthasmissing AND NOT a.attmissingval::text IN ('{NULL}', '{}')), 0) AS valued,
				coalesce(md5(string_agg(concat_ws(' ', a.attnum, a.xmin, d.xmin), ',' ORDER BY a.attnum)), '') AS written
			FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attgenerated = '' OR p.generated)) a`

// lookShape finds out what the publication of the source publishes now.
func (r *run) lookShape(ctx context.Context) (*shape, error) {
	at, err := r.writtenUpTo(ctx)
	if err != nil {
		return nil, err
	}
	now, err := lookShape(ctx, r.db, publicationOf(r.source.config))
	if err == nil {
		now.at = at
	}
	return now, err
}

// lookShape finds out what a publication publishes now.
func lookShape(ctx context.Context, db *sql.DB, name string) (*shape, error) {
	s := &shape{tables: make(map[uint32]*shapedTable)}
	err := db.QueryRowContext(ctx, `
		SELECT oid::bigint, concat_ws(' ', pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, to_jsonb(p)->>'pubgencols')
		FROM pg_publication p WHERE pubname = $1`, name).Scan(&s.publication, &s.options)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, shapeQuery, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var t shapedTable
		var n node
		var root, id uint32
		err := rows.Scan(&root, &t.schema, &t.name, &t.member, &t.implied, &t.part,
			&id, &n.schema, &n.name, &n.leaf, &n.parent, &n.edge, &n.born, &n.file, &n.filed, &n.columns, &n.valued, &n.written)
		if err != nil {
			return nil, err
		}
		if s.tables[root] == nil {
			t.nodes = make(map[uint32]node)
			s.tables[root] = &t
		}
		s.tables[root].nodes[id] = n
	}
	return s, rows.Err()
}
