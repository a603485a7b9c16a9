package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pglogrepl"
)

// lookupTimeout bounds the look-ups that the receiving goroutine waits for.
const lookupTimeout = 10 * time.Second

// saveTimeout bounds how long it waits for the checkpoint, which is the less important: somebody may have locked the table.
const saveTimeout = time.Second

// describer looks relations up in the catalogs of db.
func describer(db *sql.DB) func(ctx context.Context, m *pglogrepl.RelationMessage) (details, error) {
	return func(ctx context.Context, m *pglogrepl.RelationMessage) (details, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		d := details{bases: make([]uint32, len(m.Columns)), names: make([]string, len(m.Columns))}
		oids, mods := make([]int64, len(m.Columns)), make([]int64, len(m.Columns))
		for i, c := range m.Columns {
			oids[i], mods[i], d.bases[i] = int64(c.DataType), int64(c.TypeModifier), c.DataType
		}
		if err := d.types(ctx, db, oids, mods); err != nil {
			return d, classify(ctx, err)
		}
		return d, classify(ctx, d.primaryKey(ctx, db, m.RelationID))
	}
}

// types finds the types below domains, and the names of all.
func (d *details) types(ctx context.Context, db *sql.DB, oids, mods []int64) error {
	rows, err := db.QueryContext(ctx, `
		WITH RECURSIVE below(ord, declared, mod, oid) AS (
			SELECT ord, oid, mod, oid FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS c(oid, mod, ord)
			UNION ALL
			SELECT ord, declared, mod, t.typbasetype::bigint FROM below JOIN pg_type t ON t.oid = below.oid::oid WHERE t.typtype = 'd')
		SELECT ord, format_type(declared::oid, mod::int), below.oid
		FROM below JOIN pg_type t ON t.oid = below.oid::oid WHERE t.typtype <> 'd'`, oids, mods)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var i, base int64
		var name string
		if err := rows.Scan(&i, &name, &base); err != nil {
			return err
		}
		d.bases[i-1], d.names[i-1] = uint32(base), name //nolint:gosec // it is an OID
	}
	return rows.Err()
}

func (d *details) primaryKey(ctx context.Context, db *sql.DB, relation uint32) error {
	rows, err := db.QueryContext(ctx, `
		SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, ord)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = $1::bigint::oid AND i.indisprimary AND k.ord <= i.indnkeyatts ORDER BY k.ord`, int64(relation))
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		d.key = append(d.key, name)
	}
	return rows.Err()
}
