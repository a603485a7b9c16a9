package postgres

import (
	"slices"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgtype"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// relation is a table as the server has described it before the changes that use it. It is immutable.
type relation struct {
	table *sqlapi.Table
	// forms say how the text of each column becomes a value.
	forms []form
	// full says that old rows come whole.
	full bool
	// message is the description itself, to recognise it when it comes again.
	message string
	// undescribed says that the catalogs were not asked yet, provisional that they did not show yet what this
	// transaction has done.
	undescribed bool
	provisional uint32
}

// Table implements log.Shape.
func (r *relation) Table() *sqlapi.Table { return r.table }

// internal reports whether the changes of the table are our own business.
func (r *relation) internal() bool { return api.Internal(r.table.Name) }

// form is how a column's text becomes a value.
type form uint8

const (
	asText form = iota
	asBool
	asInteger
	asReal
	asBlob
)

func formOf(oid uint32) form {
	switch oid {
	case pgtype.BoolOID:
		return asBool
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		return asInteger
	case pgtype.Float4OID, pgtype.Float8OID:
		return asReal
	case pgtype.ByteaOID:
		return asBlob
	default:
		return asText
	}
}

// details is what the catalogs know of a relation beyond its description.
type details struct {
	// key names the columns of the primary key, in order.
	key []string
	// bases are the types below domains, names the types as a user writes them, both in the order of the columns.
	bases []uint32
	names []string
	// undescribed and provisional are as in relation.
	undescribed bool
	provisional uint32
}

// newRelation makes a relation of its description.
func newRelation(m *pglogrepl.RelationMessage, message string, d details) *relation {
	r := &relation{
		table:   &sqlapi.Table{Schema: m.Namespace, Name: m.RelationName, Columns: make([]sqlapi.Column, len(m.Columns))},
		forms:   make([]form, len(m.Columns)),
		full:    m.ReplicaIdentity == 'f',
		message: message, undescribed: d.undescribed, provisional: d.provisional,
	}
	if r.table.Schema == "" {
		r.table.Schema = "pg_catalog"
	}
	var flagged []int
	for i, c := range m.Columns {
		r.table.Columns[i] = sqlapi.Column{Name: c.Name, Type: d.names[i]}
		r.forms[i] = formOf(d.bases[i])
		if c.Flags&1 != 0 {
			flagged = append(flagged, i)
		}
	}
	declared := r.columns(d.key)
	switch m.ReplicaIdentity {
	case 'f', 'n':
		r.table.Key = declared
	default:
		// What identifies a row is what old rows have. The catalog knows the order, if it is still the same key.
		r.table.Key = flagged
		sorted := slices.Sorted(slices.Values(declared))
		if slices.Equal(sorted, flagged) {
			r.table.Key = declared
		}
	}
	return r
}

// equal reports whether both are the same in all that streams can see.
func (r *relation) equal(other *relation) bool {
	return other != nil && r.message == other.message && r.provisional == other.provisional && slices.Equal(r.table.Key, other.table.Key) &&
		slices.Equal(r.table.Columns, other.table.Columns) && slices.Equal(r.forms, other.forms)
}

// columns returns the indexes of the named columns, nil unless all are there.
func (r *relation) columns(names []string) []int {
	indexes := make([]int, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(r.table.Columns, func(c sqlapi.Column) bool { return c.Name == name })
		if i < 0 {
			return nil
		}
		indexes = append(indexes, i)
	}
	return indexes
}
