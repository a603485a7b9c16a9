package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pglogrepl"
)

// lookupTimeout bounds the look-ups that the receiving goroutine waits for.
const lookupTimeout = 10 * time.Second

// shownPatience is how long a look-up waits for the catalogs to show what a transaction has done: it is sent when its
// commit is in the WAL, and seen by others a moment later, or when a synchronous standby has it.
const (
	shownPatience = time.Second
	shownInterval = 2 * time.Millisecond
)

// describer looks relations up in the catalogs of db.
func describer(db *sql.DB) func(ctx context.Context, xid uint32, m *pglogrepl.RelationMessage) (details, error) {
	return func(ctx context.Context, xid uint32, m *pglogrepl.RelationMessage) (details, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		shown, err := waitUntilShown(ctx, db, xid)
		if err != nil {
			return details{}, classify(ctx, err)
		}
		d := details{bases: make([]uint32, len(m.Columns)), names: make([]string, len(m.Columns))}
		if !shown {
			d.provisional = xid
		}
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

// waitUntilShown waits until others see what transaction xid has done, and reports whether they do. A transaction that
// they do not see yet holds the lock of its ID.
func waitUntilShown(ctx context.Context, db *sql.DB, xid uint32) (shown bool, err error) {
	if xid == 0 {
		return true, nil
	}
	tick := time.NewTicker(shownInterval)
	defer tick.Stop()
	for deadline := time.Now().Add(shownPatience); ; {
		err := db.QueryRowContext(ctx, `
			SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = $1::bigint::text::xid
				AND mode = 'ExclusiveLock' AND granted)`, int64(xid)).Scan(&shown)
		if err != nil || shown || time.Now().After(deadline) {
			return shown, err
		}
		<-tick.C
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
