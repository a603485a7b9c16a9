package cdc_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

// anyValue draws values of all types, also such that look alike in Lua.
func anyValue(r *rapid.T) sqlapi.Value {
	return rapid.SampledFrom([]sqlapi.Value{
		{},
		sqlapi.IntegerValue(1), sqlapi.RealValue(1), sqlapi.TextValue("1"), sqlapi.BlobValue("1"), sqlapi.BoolValue(true),
		sqlapi.IntegerValue(math.MaxInt64), sqlapi.TextValue("9223372036854775807"), sqlapi.BlobValue("9223372036854775807"),
		sqlapi.RealValue(math.MaxInt64), sqlapi.RealValue(math.Copysign(0, -1)), sqlapi.RealValue(math.NaN()), sqlapi.RealValue(math.Inf(1)),
		sqlapi.TextValue("\xff"), sqlapi.BlobValue("\xff"), sqlapi.TextValue(""), sqlapi.BlobValue(""), sqlapi.IntegerValue(-1 << 53),
	}).Draw(r, "value")
}

// anyExactChange draws a change whose values are of all types, or one of no row.
func anyExactChange(r *rapid.T) *api.Change {
	c := anyChange(r)
	for _, row := range [][]sqlapi.Value{c.Before, c.After} {
		for i := range row {
			if len(c.Unchanged) == 0 {
				row[i] = anyValue(r)
			}
		}
	}
	c.OldRowID, c.NewRowID = rapid.Int64().Draw(r, "old"), rapid.Int64().Draw(r, "new")
	switch rapid.IntRange(0, 6).Draw(r, "kind") {
	case 0:
		if c.Before != nil && len(c.Table.Key) > 0 {
			c.KeyOnly = true
			for i := range c.Before {
				c.Before[i] = sqlapi.Value{}
			}
			for _, i := range c.Table.Key {
				c.Before[i] = sqlapi.IntegerValue(7)
			}
		}
	case 1:
		if c.Op == api.OpInsert {
			c.Op = api.OpSnapshot
		}
	case 2:
		if c.Op == api.OpTruncate {
			c.Op = api.OpSchema
			c.Schema = &api.SchemaChange{Action: api.Alter, SQL: "CREATE …", From: rapid.SampledFrom([]string{"", "old"}).Draw(r, "from")}
		}
	case 3:
		if c.Op == api.OpTruncate {
			c.Op, c.Table = rapid.SampledFrom([]api.Op{api.OpBegin, api.OpEnd}).Draw(r, "marker"), nil
		}
	}
	return c
}

// What a script encodes is what Go encodes, whatever types the values have that Lua does not tell apart.
func TestScriptsEncodeWhatWasDelivered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		changes := rapid.SliceOfN(rapid.Custom(anyExactChange), 1, 12).Draw(r, "changes")
		got := fakeWorld(t, &hesitant{fakeSource{changes: changes}}).List(fakePrelude+`
			local n = ...
			local ch = ok(ok(cdc.stream("pg")):channel())
			local kept, out = {}, {}
			for i = 1, n do kept[i] = ch:receive() end
			for _, change in ipairs(kept) do
				for _, format in ipairs({"json", "debezium", "cloudevents", "flat"}) do
					out[#out + 1] = ok(cdc.encode(change, format))
				end
				if ok(cdc.encode(change)) ~= out[#out - 3] then error("json is the default") end
			end
			return out`, int64(len(changes)))
		for i, c := range changes {
			for n, format := range api.Formats() {
				expected, err := encode.New().AppendChange(nil, format, c)
				require.NoError(r, err)
				require.Equal(r, string(expected), got[i*len(api.Formats())+n])
			}
		}
	})
}

// receiveOne is a script that has received one update of a table (id INTEGER PRIMARY KEY, name TEXT, raw BLOB, big).
const receiveOne = fakePrelude + `
	local change = ok(ok(cdc.stream("pg")):channel()):receive()
	`

func oneUpdate() *fakeSource {
	return &fakeSource{changes: []*api.Change{{
		Op: api.OpUpdate, Transaction: formTransactions[0], Last: true, OldRowID: 1, NewRowID: 1, Unchanged: []int{4},
		Table: &sqlapi.Table{Schema: "main", Name: "users", HasRowID: true, RowID: "rowid", Key: []int{0}, Columns: []sqlapi.Column{
			{Name: "id"}, {Name: "name"}, {Name: "raw"}, {Name: "big"}, {Name: "toast"},
		}},
		Before: []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.TextValue("ada"), sqlapi.BlobValue("r"), sqlapi.IntegerValue(1 << 60), sqlapi.TextValue("t")},
		After:  []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.TextValue("bob"), sqlapi.BlobValue("s"), sqlapi.IntegerValue(2), {}},
	}}}
}

// Values can be changed before a change is encoded. What they become has the type that they had, if it can have it.
func TestScriptsCanChangeValuesBeforeTheyEncode(t *testing.T) {
	t.Parallel()
	for change, expected := range map[string]string{
		`change.after.name = nil`:                   `{"id":1,"name":null,"raw":"cw==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.name = "x"`:                   `{"id":1,"name":"x","raw":"cw==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.name = 1.5`:                   `{"id":1,"name":1.5,"raw":"cw==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.name = true`:                  `{"id":1,"name":true,"raw":"cw==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.raw = "\0"`:                   `{"id":1,"name":"bob","raw":"AA==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.raw = 1`:                      `{"id":1,"name":"bob","raw":1,"big":2,"$unchanged":["toast"]}`,
		`change.after.big = "1152921504606846976"`:  `{"id":1,"name":"bob","raw":"cw==","big":"1152921504606846976","$unchanged":["toast"],"$types":{"raw":"blob","big":"integer"}}`,
		`change.after.big = "17"`:                   `{"id":1,"name":"bob","raw":"cw==","big":"17","$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after.big = 2^60`:                   `{"id":1,"name":"bob","raw":"cw==","big":1152921504606847000.0,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
		`change.after = {id = 1, raw = "s", big=2}`: `{"id":1,"name":null,"raw":"cw==","big":2,"$unchanged":["toast"],"$types":{"raw":"blob"}}`,
	} {
		require.Equal(t, expected, fakeWorld(t, oneUpdate()).Value(receiveOne+change+` return ok(cdc.encode(change, "flat"))`), change)
	}
}

// Whatever else is not as it was delivered is an error, and not a change that never was.
func TestWhatWasNotDeliveredIsNotEncoded(t *testing.T) {
	t.Parallel()
	for spoil, expected := range map[string]string{
		`change.table = "others"`:  `the field table of the change is not as it was delivered`,
		`change.op = "insert"`:     `the field op of the change`,
		`change.last = nil`:        `the field last of the change`,
		`change.cursor = nil`:      `the field cursor of the change`,
		`change.timestamp = 5`:     `the field timestamp of the change`,
		`change.mine = 1`:          `the field mine of the change`,
		`change.after.id = 2`:      `new_key`,
		`change.before.id = 2`:     `the field key.id of the change`,
		`change.key = {id = 2}`:    `the field key.id of the change`,
		`change.unchanged = nil`:   `the field unchanged of the change`,
		`change.after.other = 1`:   `the field after.other of the change`,
		`change.after = nil`:       `the field after of the change is nil, must be the row that was delivered`,
		`change.after.toast = "t"`: `the field after.toast of the change was not sent by the server: leave it nil`,
		`change.after.name = {}`:   `the field after.name of the change is a table, which no column holds`,
		`setmetatable(change, {})`: `the table is no change as a stream has delivered it`,
		`change = {op = "insert"}`: `the table is no change as a stream has delivered it: a copy, also one that came as a message,`,
		`local c = {} for k, v in pairs(change) do c[k] = v end change = c`: `the table is no change as a stream has delivered it`,
	} {
		err := fakeWorld(t, oneUpdate()).Failure(receiveOne + spoil + `
			local out, err = cdc.encode(change)
			if out then error("it was encoded: " .. out) end
			if err:kind() ~= "INVALID" then error(err:kind()) end
			error(err)`)
		require.ErrorContains(t, err, expected, spoil)
		require.ErrorContains(t, err, "cdc: encode: ", spoil)
	}
	require.ErrorContains(t, fakeWorld(t, oneUpdate()).Failure(receiveOne+`cdc.encode(5)`), `the change is 5, must be a table that a stream has delivered`)
	require.ErrorContains(t, fakeWorld(t, oneUpdate()).Failure(receiveOne+`cdc.encode(change, "xml")`),
		`the format is "xml", must be one of ["json" "debezium" "cloudevents" "flat"]`)
}

// The table of a change is as plain for scripts as it was, whatever it knows for encode.
func TestTheTableOfAChangeIsPlain(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{true, true, int64(0), "mine", true}, fakeWorld(t, oneUpdate()).Value(receiveOne+`
		change.mine = "mine"
		change[1] = "x"
		local n = #change
		change[1] = nil
		return {change.nothing == nil, change == change, n - 1, change.mine, not pcall(setmetatable, {}, getmetatable(change))}`))
}

func TestChangesOfADatabaseAreEncoded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const head, tail = `{"n":1.0,"b":"AP8=","i":"9223372036854775807","rowid":1,`, `"$types":{"b":"blob","i":"integer"}}`
	require.Equal(t, []any{head + tail}, w.Value(`
		local cdc, sql = require("cdc"), require("sql")
		local db = assert(sql.get("app:db"))
		assert(db:execute("CREATE TABLE odd (n REAL, b BLOB, i INTEGER)"))
		local ch = assert(assert(cdc.stream("app:cdc")):channel())
		assert(db:execute("INSERT INTO odd VALUES (1, x'00ff', 9223372036854775807)"))
		return {assert(cdc.encode(ch:receive(), "flat"))}`))
}
