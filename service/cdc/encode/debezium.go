package encode

import (
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// appendDebezium appends the envelope of Debezium. See
// https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events.
func appendDebezium(dst []byte, c *api.Change) []byte {
	switch c.Op {
	case api.OpSchema:
		return appendTableChange(dst, c)
	case api.OpBegin, api.OpEnd:
		return appendNotification(dst, c)
	default:
		return appendEnvelope(dst, c)
	}
}

func appendEnvelope(dst []byte, c *api.Change) []byte {
	var m marks
	before, after := beforeOf(c), afterOf(c)
	dst, m.before = before.appendObject(append(dst, `{"before":`...))
	dst, m.after = after.appendObject(member(dst, "after"))
	dst = appendSource(member(dst, "source"), c, m)
	dst = append(append(append(member(dst, "op"), '"'), letterOf(c.Op)), '"')
	dst = appendMillis(dst, c)
	return append(appendTransaction(dst, c), '}')
}

func letterOf(op api.Op) byte {
	switch op {
	case api.OpInsert:
		return 'c'
	case api.OpUpdate:
		return 'u'
	case api.OpDelete:
		return 'd'
	case api.OpTruncate:
		return 't'
	default:
		return 'r'
	}
}

// appendSource appends where the change comes from. m says which images have values that are marked.
func appendSource(dst []byte, c *api.Change, m marks) []byte {
	tx := c.Transaction
	dst = append(append(append(dst, `{"connector":"`...), connectorOf(tx.Engine)...), '"')
	dst = appendID(member(dst, "name"), tx.Source)
	dst = appendMillis(dst, c)
	dst = append(member(dst, "snapshot"), snapshotOf(c)...)
	dst = appendName(member(dst, "db"), tx.Database)
	if c.Table != nil {
		dst = appendName(member(dst, "schema"), c.Table.Schema)
		dst = appendName(member(dst, "table"), c.Table.Name)
	}
	if tx.XID != 0 {
		dst = strconv.AppendUint(member(dst, "txId"), uint64(tx.XID), 10)
	}
	dst = appendPlace(dst, c)
	dst = strconv.AppendBool(member(dst, "last"), c.Last)
	if c.Table != nil {
		dst = m.appendKeys(dst, c)
		dst = m.append(dst, c)
	}
	return append(dst, '}')
}

// connectorOf returns the name that Debezium has for an engine.
func connectorOf(engine string) string {
	if engine == api.EnginePostgres {
		return "postgresql"
	}
	return engine
}

func snapshotOf(c *api.Change) string {
	switch {
	case c.Op == api.OpSnapshot && c.Last:
		return `"last"`
	case c.Op == api.OpSnapshot, c.Op == api.OpBegin, c.Op == api.OpEnd:
		return `"true"`
	default:
		return `"false"`
	}
}

func appendMillis(dst []byte, c *api.Change) []byte {
	return strconv.AppendInt(member(dst, "ts_ms"), c.Transaction.CommittedAt.UnixMilli(), 10)
}

// appendTransaction appends the transaction of the change and the place in it, which counts from 1. The rows of a
// snapshot are of none.
func appendTransaction(dst []byte, c *api.Change) []byte {
	dst = member(dst, "transaction")
	if c.Op == api.OpSnapshot {
		return append(dst, "null"...)
	}
	dst = appendTransactionID(append(dst, `{"id":`...), c.Transaction)
	return append(strconv.AppendInt(member(dst, "total_order"), int64(c.Index)+1, 10), '}')
}

// appendTableChange appends a change of a schema in the form that Debezium has for it.
func appendTableChange(dst []byte, c *api.Change) []byte {
	dst = appendSource(append(dst, `{"source":`...), c, marks{})
	dst = appendMillis(dst, c)
	dst = appendTransaction(dst, c)
	dst = appendName(member(dst, "databaseName"), c.Transaction.Database)
	dst = appendName(member(dst, "schemaName"), c.Table.Schema)
	dst = member(dst, "ddl")
	if c.Schema.SQL == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendName(dst, c.Schema.SQL)
	}
	dst = append(append(append(member(dst, "tableChanges"), `[{"type":"`...), strings.ToUpper(string(c.Schema.Action))...), '"')
	dst = appendTableID(member(dst, "id"), c.Table.Schema, c.Table.Name)
	if c.Schema.From != "" {
		dst = appendTableID(member(dst, "previousId"), c.Table.Schema, c.Schema.From)
	}
	dst = member(dst, "table")
	if c.Schema.Action == api.Drop {
		dst = append(dst, "null"...)
	} else {
		dst = appendShape(dst, c)
	}
	return append(dst, `}]}`...)
}

// appendTableID appends "schema"."table", with the quotation marks.
func appendTableID(dst []byte, schema, table string) []byte {
	quoted := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	return appendName(dst, quoted(schema)+"."+quoted(table))
}

func appendShape(dst []byte, c *api.Change) []byte {
	dst = append(dst, `{"primaryKeyColumnNames":[`...)
	for _, column := range c.Table.Key {
		dst = appendName(comma(dst), c.Table.Columns[column].Name)
	}
	dst = append(member(append(dst, ']'), "columns"), '[')
	for i, column := range c.Table.Columns {
		dst = appendName(append(comma(dst), `{"name":`...), column.Name)
		dst = appendName(member(dst, "typeName"), column.Type)
		dst = append(strconv.AppendInt(member(dst, "position"), int64(i)+1, 10), '}')
	}
	return append(dst, `]}`...)
}

// appendNotification appends what Debezium notifies of when an initial snapshot begins and ends.
func appendNotification(dst []byte, c *api.Change) []byte {
	dst = append(appendEventID(append(dst, `{"id":"`...), c), `","aggregate_type":"Initial Snapshot","type":"`...)
	if c.Op == api.OpBegin {
		dst = append(dst, `STARTED"`...)
	} else {
		dst = append(dst, `COMPLETED"`...)
	}
	dst = appendSource(member(dst, "source"), c, marks{})
	return append(appendMillis(dst, c), '}')
}

// appendID appends the ID of an entry, which consists of letters, digits and a few signs.
func appendID(dst []byte, id registry.ID) []byte {
	dst = append(append(append(dst, '"'), id.Namespace...), ':')
	return append(append(dst, id.Name...), '"')
}

// appendTransactionID appends what Transaction.ID returns.
func appendTransactionID(dst []byte, tx *api.Transaction) []byte {
	dst = append(append(append(dst, '"'), tx.Generation...), ':')
	return append(append(dst, tx.LSN...), '"')
}
