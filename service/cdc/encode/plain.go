package encode

import (
	"strconv"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// appendPlain appends what a script sees, with the names that it knows, from the name of its first member on, which is
// the operation.
func appendPlain(dst []byte, first string, c *api.Change) []byte {
	var m marks
	tx := c.Transaction
	dst = append(append(append(append(dst, first...), '"'), c.Op...), '"')
	if c.Table != nil {
		dst = appendName(member(dst, "schema"), c.Table.Schema)
		dst = appendName(member(dst, "table"), c.Table.Name)
		dst = appendRelation(member(dst, "relation"), c)
	}
	if before := beforeOf(c); before.exists {
		dst, m.before = before.appendObject(member(dst, "before"))
	}
	if after := afterOf(c); after.exists {
		dst, m.after = after.appendObject(member(dst, "after"))
	}
	if c.Table != nil {
		dst = m.appendKeys(dst, c)
		dst = m.append(dst, c)
	}
	if c.Schema != nil {
		dst = appendSchemaChange(dst, c)
	}
	dst = appendID(member(dst, "source"), tx.Source)
	dst = appendTransactionID(member(dst, "transaction"), tx)
	dst = strconv.AppendBool(member(dst, "last"), c.Last)
	dst = appendPlace(dst, c)
	if tx.CommitLSN != "" {
		dst = appendName(member(dst, "commit_lsn"), tx.CommitLSN)
		dst = strconv.AppendUint(member(dst, "xid"), uint64(tx.XID), 10)
	}
	dst = appendSeconds(member(dst, "timestamp"), tx.CommittedAt)
	return append(dst, '}')
}

// appendRelation appends the name by which statements of a user reach the table as a rule.
func appendRelation(dst []byte, c *api.Change) []byte {
	if c.Transaction.Engine == api.EnginePostgres {
		return appendQualified(dst, c.Table.Schema, c.Table.Name)
	}
	return appendName(dst, c.Table.Name)
}

func appendSchemaChange(dst []byte, c *api.Change) []byte {
	dst = append(append(append(member(dst, "action"), '"'), c.Schema.Action...), '"')
	if c.Schema.SQL != "" {
		dst = appendName(member(dst, "sql"), c.Schema.SQL)
	}
	if c.Schema.From != "" {
		dst = appendName(member(dst, "renamed_from"), c.Schema.From)
	}
	dst = append(member(dst, "columns"), '[')
	for _, column := range c.Table.Columns {
		dst = appendName(comma(dst), column.Name)
	}
	return append(dst, ']')
}

// appendPlace appends the members that say where the change is in the log of its source.
func appendPlace(dst []byte, c *api.Change) []byte {
	dst = appendName(member(dst, "lsn"), c.Transaction.LSN)
	dst = append(c.AppendCursor(append(member(dst, "cursor"), '"')), '"')
	return appendName(member(dst, "generation"), c.Transaction.Generation)
}

// appendSeconds appends the time since 1970 in seconds, with all digits that it has.
func appendSeconds(dst []byte, at time.Time) []byte {
	const second = 1_000_000_000
	seconds, nanos := at.Unix(), int64(at.Nanosecond())
	if seconds < 0 && nanos > 0 { // the fraction counts upwards
		if seconds, nanos = seconds+1, second-nanos; seconds == 0 {
			dst = append(dst, '-')
		}
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	if nanos == 0 {
		return dst
	}
	at0 := len(dst)
	dst = strconv.AppendInt(dst, second+nanos, 10) // a 1 and nine digits
	dst[at0] = '.'
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
