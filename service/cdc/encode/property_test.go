package encode_test

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[a-z]{1,8}`),
		rapid.String(),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")) }),
		rapid.SampledFrom([]string{
			"base64:", "base64:YQ==", "$types", "$op", "$unchanged", "$event", "a\"b\\c\n\r\t\x00\x7f\u2028", "\xff", "\xed\xa0\x80", "\ufffd", "e\u0301", "É", "null", "-1", "A", "a",
		}),
	)
}

func values() *rapid.Generator[sqlapi.Value] {
	return rapid.OneOf(
		rapid.Just(sqlapi.Value{}),
		rapid.Map(rapid.Int64(), sqlapi.IntegerValue),
		rapid.Map(rapid.SampledFrom([]int64{
			0, 1, -1, 1 << 53, 1<<53 + 1, -1 << 53, -1<<53 - 1, math.MaxInt64, math.MinInt64,
		}), sqlapi.IntegerValue),
		rapid.Map(rapid.Float64(), sqlapi.RealValue),
		rapid.Map(rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), 1, -1, 1e6, 1e15, 1 << 53, 1e21, 1e20, 9.999999e-7, 1e-6, math.SmallestNonzeroFloat64, math.MaxFloat64,
			2.2250738585072014e-308, 0.1, 0.30000000000000004, math.Inf(1), math.Inf(-1), math.NaN(),
		}), sqlapi.RealValue),
		rapid.Map(texts(), sqlapi.TextValue),
		rapid.Map(texts(), sqlapi.BlobValue),
		rapid.Map(rapid.Bool(), sqlapi.BoolValue),
	)
}

// tables are shapes whose columns have names of their own, as the databases see to.
func tables() *rapid.Generator[*sqlapi.Table] {
	return rapid.Custom(func(t *rapid.T) *sqlapi.Table {
		names := rapid.SliceOfNDistinct(texts(), 0, 9, rapid.ID).Draw(t, "columns")
		table := &sqlapi.Table{Schema: texts().Draw(t, "schema"), Name: texts().Draw(t, "table")}
		for _, name := range names {
			table.Columns = append(table.Columns, sqlapi.Column{Name: name, Type: texts().Draw(t, "type")})
		}
		if rapid.Bool().Draw(t, "rowid") && !slices.Contains(names, "rowid") {
			table.HasRowID, table.RowID = true, "rowid"
		}
		order := rapid.Permutation(indexes(len(names))).Draw(t, "order")
		table.Key = order[:rapid.IntRange(0, len(order)).Draw(t, "key")]
		return table
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func changes() *rapid.Generator[*api.Change] {
	return rapid.Custom(func(t *rapid.T) *api.Change {
		table := tables().Draw(t, "table")
		line := func() []sqlapi.Value {
			if len(table.Columns) == 0 {
				return nil
			}
			return rapid.SliceOfN(values(), len(table.Columns), len(table.Columns)).Draw(t, "row")
		}
		c := &api.Change{
			Op:    rapid.SampledFrom([]api.Op{api.OpInsert, api.OpUpdate, api.OpDelete, api.OpSnapshot, api.OpTruncate, api.OpSchema, api.OpBegin, api.OpEnd}).Draw(t, "op"),
			Table: table, Index: rapid.IntRange(0, 1<<29).Draw(t, "index"), Last: rapid.Bool().Draw(t, "last"),
			Transaction: &api.Transaction{
				Source: registry.ID{Namespace: "app", Name: "cdc-ß"}, Engine: api.EngineSQLite, Database: texts().Draw(t, "database"), Generation: "64f1c2a3b4d5e",
				Sequence: rapid.Uint64().Draw(t, "sequence"), LSN: "17",
				CommittedAt: time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")),
			},
			OldRowID: rapid.Int64().Draw(t, "old"), NewRowID: rapid.Int64().Draw(t, "new"),
		}
		if rapid.Bool().Draw(t, "postgres") {
			tx := c.Transaction
			tx.Engine, tx.LSN, tx.CommitLSN, tx.XID = api.EnginePostgres, "0/16B3748", "0/16B3700", rapid.Uint32Min(1).Draw(t, "xid")
		}
		switch c.Op {
		case api.OpInsert, api.OpSnapshot:
			c.After = line()
		case api.OpUpdate:
			c.After = line()
			if rapid.Bool().Draw(t, "before") {
				c.Before = line()
			}
			for column := range table.Columns {
				if rapid.IntRange(0, 4).Draw(t, "unchanged") == 0 {
					c.Unchanged, c.After[column] = append(c.Unchanged, column), sqlapi.Value{}
				}
			}
		case api.OpDelete:
			c.Before = line()
		case api.OpSchema:
			c.Schema = &api.SchemaChange{
				Action: rapid.SampledFrom([]api.Action{api.Create, api.Alter, api.Drop}).Draw(t, "action"),
				SQL:    texts().Draw(t, "sql"), From: texts().Draw(t, "from"),
			}
		case api.OpBegin, api.OpEnd:
			c.Table = nil
		case api.OpTruncate:
		}
		if c.Before != nil && len(table.Key) > 0 && rapid.Bool().Draw(t, "key only") {
			c.KeyOnly = true
			for column := range table.Columns {
				if !slices.Contains(table.Key, column) {
					c.Before[column] = sqlapi.Value{}
				}
			}
		}
		return c
	})
}

// sent returns what a reader must get of an image.
func sent(c *api.Change, values []sqlapi.Value, missing func(column int) bool) map[string]sqlapi.Value {
	all := make(map[string]sqlapi.Value)
	for column, v := range values {
		if !missing(column) {
			all[c.Table.Columns[column].Name] = v
		}
	}
	return all
}

func before(c *api.Change) map[string]sqlapi.Value {
	if c.Before == nil && c.Op != api.OpDelete {
		return nil
	}
	return sent(c, c.Before, func(column int) bool { return c.KeyOnly && !slices.Contains(c.Table.Key, column) })
}

func after(c *api.Change) map[string]sqlapi.Value {
	if c.After == nil && c.Op != api.OpInsert && c.Op != api.OpUpdate && c.Op != api.OpSnapshot {
		return nil
	}
	return sent(c, c.After, func(column int) bool { return slices.Contains(c.Unchanged, column) })
}

func keyed(names []string, values []sqlapi.Value) map[string]sqlapi.Value {
	if len(names) == 0 {
		return nil
	}
	all := make(map[string]sqlapi.Value)
	for i, name := range names {
		all[name] = values[i]
	}
	return all
}

// same requires equal rows. Values are compared by their bits, and so is what is not a number.
func same(t require.TestingT, expected, actual map[string]sqlapi.Value) {
	require.Len(t, actual, len(expected))
	require.Equal(t, expected == nil, actual == nil)
	for name, v := range expected {
		got, ok := actual[name]
		require.True(t, ok, "%q is missing", name)
		require.Equal(t, v, got, "%q", name)
	}
}

// encoded encodes a change.
func encoded(t require.TestingT, format api.Format, c *api.Change) []byte {
	const head = "before: "
	out, err := encode.New().AppendChange([]byte(head), format, c)
	require.NoError(t, err)
	out, ok := bytes.CutPrefix(out, []byte(head))
	require.True(t, ok)
	require.True(t, json.Valid(out), "%q", out)
	require.True(t, utf8.Valid(out), "%q", out)
	require.False(t, bytes.ContainsAny(out, "\n\r"), "%q", out)
	return out
}

// checkRows compares the images and keys with an object that has them, and with what is said of them in about.
func checkRows(t require.TestingT, c *api.Change, o, about object) {
	types := about.in(t, "types")
	same(t, before(c), row(t, o.in(t, "before"), types.in(t, "before")))
	same(t, after(c), row(t, o.in(t, "after"), types.in(t, "after")))
	var key, newKey map[string]sqlapi.Value
	if c.Table != nil {
		key, newKey = keyed(c.Key()), keyed(c.NewKey())
	}
	same(t, key, row(t, about.in(t, "key"), types.in(t, "key")))
	same(t, newKey, row(t, about.in(t, "new_key"), types.in(t, "new_key")))
	var unchanged []string
	for _, column := range c.Unchanged {
		unchanged = append(unchanged, c.Table.Columns[column].Name)
	}
	if about["unchanged"] != nil {
		require.Equal(t, unchanged, unescapeAll(t, to[[]string](t, about, "unchanged")))
	} else {
		require.Empty(t, unchanged)
	}
	if c.Table == nil {
		require.NotContains(t, about, "table")
		return
	}
	require.Equal(t, c.Table.Schema, unescape(t, to[string](t, about, "schema")))
	require.Equal(t, c.Table.Name, unescape(t, to[string](t, about, "table")))
}

// checkPlace compares where the change is.
func checkPlace(t require.TestingT, c *api.Change, o object) {
	require.Equal(t, c.Cursor(), to[string](t, o, "cursor"))
	require.Equal(t, c.Transaction.Generation, to[string](t, o, "generation"))
	require.Equal(t, c.Transaction.LSN, to[string](t, o, "lsn"))
	require.Equal(t, c.Last, to[bool](t, o, "last"))
}

func checkPlain(t require.TestingT, c *api.Change, o object, op string) {
	require.Equal(t, string(c.Op), to[string](t, o, op))
	checkRows(t, c, o, o)
	checkPlace(t, c, o)
	require.Equal(t, c.Transaction.Source.String(), to[string](t, o, "source"))
	require.Equal(t, c.Transaction.ID(), to[string](t, o, "transaction"))
	require.True(t, seconds(t, string(o["timestamp"])).Equal(c.Transaction.CommittedAt), "%s is %s", o["timestamp"], c.Transaction.CommittedAt)
	if c.Transaction.Engine == api.EnginePostgres {
		require.Equal(t, c.Transaction.XID, to[uint32](t, o, "xid"))
		require.Equal(t, c.Transaction.CommitLSN, to[string](t, o, "commit_lsn"))
	}
	if c.Table != nil {
		relation := c.Table.Name
		if c.Transaction.Engine == api.EnginePostgres {
			relation = c.Table.Schema + "." + c.Table.Name
		}
		require.Equal(t, relation, unescape(t, to[string](t, o, "relation")))
	}
	if s := c.Schema; s != nil {
		require.Equal(t, string(s.Action), to[string](t, o, "action"))
		for member, text := range map[string]string{"sql": s.SQL, "renamed_from": s.From} {
			if text != "" {
				require.Equal(t, text, unescape(t, to[string](t, o, member)))
			} else {
				require.NotContains(t, o, member)
			}
		}
		require.Len(t, to[[]string](t, o, "columns"), len(c.Table.Columns))
	}
}

// seconds reads a time that counts from 1970.
func seconds(t require.TestingT, text string) time.Time {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	require.NoError(t, err)
	part, err := time.ParseDuration("0." + fraction + "s")
	require.NoError(t, err)
	if strings.HasPrefix(text, "-") {
		part = -part
	}
	return time.Unix(n, int64(part))
}

func checkDebezium(t require.TestingT, c *api.Change, o object) {
	source := o.in(t, "source")
	checkRows(t, c, o, source)
	checkPlace(t, c, source)
	require.Equal(t, c.Transaction.Source.String(), to[string](t, source, "name"))
	require.Equal(t, c.Transaction.Database, unescape(t, to[string](t, source, "db")))
	require.Equal(t, c.Transaction.CommittedAt.UnixMilli(), to[int64](t, o, "ts_ms"))
	switch c.Op {
	case api.OpSchema:
		made := to[[]json.RawMessage](t, o, "tableChanges")
		require.Len(t, made, 1)
		require.Equal(t, strings.ToUpper(string(c.Schema.Action)), to[string](t, parse(t, made[0]), "type"))
		if c.Schema.SQL != "" {
			require.Equal(t, c.Schema.SQL, unescape(t, to[string](t, o, "ddl")))
		}
		if table := parse(t, made[0]).in(t, "table"); c.Schema.Action != api.Drop {
			require.Len(t, to[[]string](t, table, "primaryKeyColumnNames"), len(c.Table.Key))
			for i, column := range to[[]json.RawMessage](t, table, "columns") {
				require.Equal(t, c.Table.Columns[i].Name, unescape(t, to[string](t, parse(t, column), "name")))
				require.Equal(t, c.Table.Columns[i].Type, unescape(t, to[string](t, parse(t, column), "typeName")))
			}
		} else {
			require.Nil(t, table)
		}
	case api.OpBegin:
		require.Equal(t, "STARTED", to[string](t, o, "type"))
	case api.OpEnd:
		require.Equal(t, "COMPLETED", to[string](t, o, "type"))
	default:
		letters := map[api.Op]string{api.OpInsert: "c", api.OpUpdate: "u", api.OpDelete: "d", api.OpSnapshot: "r", api.OpTruncate: "t"}
		require.Equal(t, letters[c.Op], to[string](t, o, "op"))
		require.Contains(t, o, "before")
		require.Contains(t, o, "after")
		if transaction := o.in(t, "transaction"); c.Op != api.OpSnapshot {
			require.Equal(t, c.Transaction.ID(), to[string](t, transaction, "id"))
			require.Equal(t, c.Index+1, to[int](t, transaction, "total_order"))
		} else {
			require.Nil(t, transaction)
		}
	}
}

func checkFlat(t require.TestingT, c *api.Change, out []byte) {
	switch {
	case c.Op == api.OpDelete:
		require.Equal(t, "null", string(out))
		return
	case after(c) == nil:
		checkPlain(t, c, parse(t, out), "$op")
		return
	}
	expected := after(c)
	names, values := c.NewKey()
	if len(names) == 0 {
		names, values = c.Key()
	}
	for i, name := range names {
		if name == c.Table.RowID && c.Table.RowID != "" {
			expected[name] = values[i]
		}
	}
	o := parse(t, out)
	var unchanged []string
	for _, column := range c.Unchanged {
		unchanged = append(unchanged, c.Table.Columns[column].Name)
	}
	if unchanged != nil {
		require.Equal(t, unchanged, unescapeAll(t, to[[]string](t, o, "$unchanged")))
		delete(o, "$unchanged")
	}
	checkTyped(t, expected, o)
}

// checkTyped compares an object that has the types of its values in it.
func checkTyped(t require.TestingT, expected map[string]sqlapi.Value, o object) {
	require.NotContains(t, o, "$event")
	types := o.in(t, "$types")
	delete(o, "$types")
	same(t, expected, row(t, o, types))
}

func checkAll(t require.TestingT, c *api.Change) {
	checkPlain(t, c, parse(t, encoded(t, api.FormatJSON, c)), "op")
	checkDebezium(t, c, parse(t, encoded(t, api.FormatDebezium, c)))
	event := parse(t, encoded(t, api.FormatCloudEvents, c))
	checkDebezium(t, c, event.in(t, "data"))
	id, snapshot, _ := strings.Cut(to[string](t, event, "id"), "/")
	require.Equal(t, c.Cursor(), id)
	require.Equal(t, c.Snapshot(), snapshot)
	require.Equal(t, "/wippy/"+url.PathEscape(c.Transaction.Source.String()), to[string](t, event, "source"))
	require.True(t, to[time.Time](t, event, "time").Equal(c.Transaction.CommittedAt))
	checkFlat(t, c, encoded(t, api.FormatFlat, c))
	if c.Table == nil {
		return
	}
	for newKey, expected := range map[bool]map[string]sqlapi.Value{false: keyed(c.Key()), true: keyed(c.NewKey())} {
		out := encode.New().AppendKey([]byte("x"), c, newKey)[1:]
		if expected == nil {
			require.Empty(t, out)
			continue
		}
		require.True(t, json.Valid(out))
		checkTyped(t, expected, parse(t, out))
	}
}

// A reader that knows what docs/formats.md says gets the very change that was encoded, whatever is in it.
func TestWhatIsEncodedComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { checkAll(t, changes().Draw(t, "change")) })
}

func FuzzWhatIsEncodedComesBack(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { checkAll(t, changes().Draw(t, "change")) }))
}
