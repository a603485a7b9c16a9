package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// unread says why consumers cannot be read, for which the slot may have to keep something. It is nil if none can have been
// written, because what has the name of the table is something else.
func (c *checkpoint) unread(ctx context.Context, err error) error {
	switch code := sqlstate.Code(err); {
	case err == nil:
		return nil
	case code == "42501": // insufficient_privilege
		return fmt.Errorf("it is not known what consumers have acknowledged, and the slot must not go beyond that: read %s: %w: "+
			"type GRANT SELECT ON %s TO …", api.OffsetsTable, classify(ctx, err), api.OffsetsTable)
	case strings.HasPrefix(code, "42"): // it has other columns
		return nil
	default:
		return c.about(ctx, "read", err)
	}
}

// namesakes lists the tables of the name of that of checkpoints, but for the one that the search path leads to.
const namesakes = `SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relname = '` + api.OffsetsTable + `' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
		AND c.oid IS DISTINCT FROM to_regclass('` + api.OffsetsTable + `') ORDER BY 1`

// lookElsewhere returns an error if consumers of the slot are in a table that the search path of the role does not lead
// to, as it did when they were written.
func (r *run) lookElsewhere(ctx context.Context, found bool) error {
	rows, err := r.db.QueryContext(ctx, namesakes)
	if err != nil {
		return r.checkpoint.about(ctx, "look for", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var readable, others []table
	for rows.Next() {
		var t table
		var ok bool
		if err := rows.Scan(&t.schema, &t.name, &ok); err != nil {
			return err
		}
		if ok {
			readable = append(readable, t)
		} else {
			others = append(others, t)
		}
	}
	if err := rows.Err(); err != nil {
		return r.checkpoint.about(ctx, "look for", err)
	}
	for _, t := range readable {
		if err := r.checkpoint.in(ctx, t); err != nil {
			return err
		}
	}
	if len(others) > 0 && !found {
		r.logger.WarnContext(ctx, "there is no table of checkpoints where the role looks for it, and one that it cannot read: if that has "+
			"consumers of this source they are not known, and the slot goes beyond them; stop the source, and type GRANT USAGE ON SCHEMA … "+
			"and GRANT SELECT ON … TO …", "slot", r.checkpoint.slot, "table", others[0].quoted())
	}
	return nil
}

// in returns an error if consumers of the slot are in a table.
func (c *checkpoint) in(ctx context.Context, t table) error {
	var n int
	name, prefix := t.quoted(), c.slot+consumers
	err := c.db.QueryRowContext(ctx, "SELECT count(*) FROM "+name+" WHERE starts_with(slot, $1)", prefix).Scan(&n)
	if strings.HasPrefix(sqlstate.Code(err), "42") { // it has other columns
		return nil
	}
	if err != nil {
		return c.about(ctx, "read", err)
	}
	if n == 0 {
		return nil
	}
	return errs.New(errs.Invalid, "what consumers of slot %q have acknowledged is in %s, where the search path of the role does not lead: "+
		"type ALTER ROLE … SET search_path, or ALTER TABLE %s SET SCHEMA …; if they are not needed any more, "+
		"DELETE FROM %s WHERE starts_with(slot, %s)", c.slot, name, name, name, literal(prefix))
}
