package encode_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

var update = flag.Bool("update", false, "write encoded changes as they are now to testdata and docs/formats.md")

// named is a change with the name under which files know it.
type named struct {
	name   string
	change *api.Change
}

// samples are changes of every operation, of both engines.
func samples() []named {
	users := &sqlapi.Table{Schema: "main", Name: "users", HasRowID: true, RowID: "rowid", Key: []int{0}, Columns: []sqlapi.Column{
		{Name: "id", Type: "INTEGER"}, {Name: "name", Type: "TEXT"}, {Name: "score", Type: "REAL"}, {Name: "photo", Type: "BLOB"},
	}}
	things := &sqlapi.Table{Schema: "main", Name: "things", HasRowID: true, RowID: "rowid", Columns: []sqlapi.Column{
		{Name: "large"},
		{Name: "whole"},
		{Name: "zero"},
		{Name: "infinite"},
		{Name: "broken"},
		{Name: "raw"},
		{Name: "nothing"},
		{Name: "a \"b\"\n"},
		{Name: "\xff"},
		{Name: "$types"},
	}}
	docs := &sqlapi.Table{Schema: "public", Name: "docs", Key: []int{0}, Columns: []sqlapi.Column{
		{Name: "id", Type: "uuid"}, {Name: "body", Type: "text"}, {Name: "draft", Type: "boolean"},
	}}
	sqlite := &api.Transaction{
		Source: registry.ID{Namespace: "app", Name: "cdc"}, Engine: api.EngineSQLite, Database: "app:db", Generation: "64f1c2a3b4d5e",
		Sequence: 17, LSN: "17", CommittedAt: time.Unix(1700000000, 250e6),
	}
	postgres := &api.Transaction{
		Source: registry.ID{Namespace: "app", Name: "pg"}, Engine: api.EnginePostgres, Database: "shop", Generation: "6f4a1b2c3d4e5f61",
		Sequence: 0x16B3748, LSN: "0/16B3748", CommitLSN: "0/16B3700", XID: 734, CommittedAt: time.Unix(1700000000, 123456e3),
	}
	integer, real, text, blob := sqlapi.IntegerValue, sqlapi.RealValue, sqlapi.TextValue, sqlapi.BlobValue
	ada := func(id int64, score float64) []sqlapi.Value {
		return []sqlapi.Value{integer(id), text("Ada"), real(score), blob("\x00\xff")}
	}
	odd := []sqlapi.Value{
		integer(1<<53 + 1), real(1), real(math.Copysign(0, -1)), real(math.Inf(-1)), text("\xff"), blob("raw"), {}, text("c \"d\"\n"), integer(1), integer(2),
	}
	one, two := text("5f0c"), text("77aa")
	return []named{
		{"insert", &api.Change{Op: api.OpInsert, Table: users, Transaction: sqlite, Index: 0, After: ada(1, 9.75), NewRowID: 1}},
		{"update", &api.Change{Op: api.OpUpdate, Table: users, Transaction: sqlite, Index: 1, Before: ada(1, 9.75), After: ada(1, 10), OldRowID: 1, NewRowID: 1}},
		{"key", &api.Change{Op: api.OpUpdate, Table: users, Transaction: sqlite, Index: 2, Before: ada(1, 10), After: ada(2, 10), OldRowID: 1, NewRowID: 2}},
		{"delete", &api.Change{Op: api.OpDelete, Table: users, Transaction: sqlite, Index: 3, Last: true, Before: ada(2, 10), OldRowID: 2}},
		{"values", &api.Change{Op: api.OpInsert, Table: things, Transaction: sqlite, Index: 4, After: odd, NewRowID: math.MaxInt64}},
		{"snapshot", &api.Change{Op: api.OpSnapshot, Table: users, Transaction: sqlite, Index: 5, Last: true, After: ada(1, 9.75), NewRowID: 1}},
		{"truncate", &api.Change{Op: api.OpTruncate, Table: users, Transaction: sqlite, Index: 6}},
		{"create", &api.Change{Op: api.OpSchema, Table: users, Transaction: sqlite, Index: 7, Schema: &api.SchemaChange{
			Action: api.Create, SQL: "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, score REAL, photo BLOB)",
		}}},
		{"rename", &api.Change{Op: api.OpSchema, Table: users, Transaction: sqlite, Index: 8, Schema: &api.SchemaChange{
			Action: api.Alter, SQL: "CREATE TABLE \"users\" (id)", From: "a \"b\"",
		}}},
		{"drop", &api.Change{Op: api.OpSchema, Table: users, Transaction: sqlite, Index: 9, Schema: &api.SchemaChange{Action: api.Drop}}},
		{"begin", &api.Change{Op: api.OpBegin, Transaction: sqlite}},
		{"end", &api.Change{Op: api.OpEnd, Transaction: sqlite, Last: true}},
		{"postgres update", &api.Change{
			Op: api.OpUpdate, Table: docs, Transaction: postgres, Index: 0, After: []sqlapi.Value{one, {}, sqlapi.BoolValue(false)}, Unchanged: []int{1},
		}},
		{"postgres key", &api.Change{
			Op: api.OpUpdate, Table: docs, Transaction: postgres, Index: 1, Before: []sqlapi.Value{one, {}, {}}, KeyOnly: true,
			After: []sqlapi.Value{two, text("new"), {}},
		}},
		{"postgres delete", &api.Change{Op: api.OpDelete, Table: docs, Transaction: postgres, Index: 2, Last: true, Before: []sqlapi.Value{two, {}, {}}, KeyOnly: true}},
	}
}

// The bytes of every format, so that a change of them is a decision.
func TestEncodedChanges(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, sample := range samples() {
		for _, format := range api.Formats() {
			fmt.Fprintf(&all, "%s %s\n----\n%s\n\n", format, sample.name, encoded(t, format, sample.change))
		}
		for _, newKey := range []bool{false, true} {
			if sample.change.Table != nil {
				fmt.Fprintf(&all, "key %s %v\n----\n%s\n\n", sample.name, newKey, encode.New().AppendKey(nil, sample.change, newKey))
			}
		}
	}
	const path = "testdata/changes.golden"
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(all.String()), 0o600))
	}
	expected, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(expected), all.String(), "if this is what you want: go test ./service/cdc/encode -run '^TestEncodedChanges$|^TestTheDoc' -update")
}

// Each example of docs/formats.md names an encoded change in its first line, and is just that, laid out to be read.
func TestTheDocumentationShowsEncodedChanges(t *testing.T) {
	t.Parallel()
	const path = "../../../docs/formats.md"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	block := regexp.MustCompile("(?ms)^```json (.*?)\n(.*?)^```$")
	shown := make(map[string]bool)
	now := block.ReplaceAllStringFunc(string(page), func(example string) string {
		parts := block.FindStringSubmatch(example)
		shown[strings.Fields(parts[1])[0]] = true
		return "```json " + parts[1] + "\n" + layOut(t, sampleNamed(t, parts[1]), "") + "\n```"
	})
	for _, format := range append(api.Formats(), "key") {
		require.True(t, shown[string(format)], "there is no example of %s", format)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(now), 0o600))
	}
	page, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(page), now, "go test ./service/cdc/encode -run '^TestTheDoc' -update writes the examples")
}

// sampleNamed returns the encoded change that is called "format sample".
func sampleNamed(t *testing.T, name string) []byte {
	t.Helper()
	format, of, _ := strings.Cut(name, " ")
	for _, sample := range samples() {
		switch {
		case sample.name != of:
		case format == "key":
			return encode.New().AppendKey(nil, sample.change, false)
		default:
			return encoded(t, api.Format(format), sample.change)
		}
	}
	require.Fail(t, "no sample has this name", name)
	return nil
}

// layOut breaks an encoded change into lines.
func layOut(t *testing.T, text json.RawMessage, indent string) string {
	t.Helper()
	const width = 112
	if text[0] != '{' && text[0] != '[' {
		return string(text)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	_, err := in.Token()
	require.NoError(t, err)
	var parts []string
	for in.More() {
		name := ""
		if text[0] == '{' {
			token, err := in.Token()
			require.NoError(t, err)
			quoted, err := json.Marshal(token)
			require.NoError(t, err)
			name = string(quoted) + ": "
		}
		var v json.RawMessage
		require.NoError(t, in.Decode(&v))
		parts = append(parts, name+layOut(t, v, indent+"  "))
	}
	opening, closing := string(text[0]), string(text[len(text)-1])
	line := opening + strings.Join(parts, ", ") + closing
	if len(line)+len(indent) <= width-20 && !strings.Contains(line, "\n") {
		return line
	}
	return opening + "\n" + indent + "  " + strings.Join(parts, ",\n"+indent+"  ") + "\n" + indent + closing
}

func TestWhatIsWrongIsNotEncoded(t *testing.T) {
	t.Parallel()
	_, err := encode.New().AppendChange(nil, "xml", usual())
	require.EqualError(t, err, `encode: "xml" is no format: use json, debezium, cloudevents or flat`)
	for name, spoil := range map[string]func(c *api.Change){
		"is not known": func(c *api.Change) { c.Op = "upsert" },
		"must have an after with a value for each column, and no before":                 func(c *api.Change) { c.Op = api.OpInsert },
		"must have a before with a value for each column, and no after":                  func(c *api.Change) { c.Op = api.OpDelete },
		"must have an after with a value for each column, and a before with one or none": func(c *api.Change) { c.After = c.After[:3] },
		"must have no row":                        func(c *api.Change) { c.Op = api.OpTruncate },
		"must say what has happened to the table": func(c *api.Change) { c.Op, c.Before, c.After = api.OpSchema, nil, nil },
		"must have a transaction":                 func(c *api.Change) { c.Transaction = nil },
		"must have a table":                       func(c *api.Change) { c.Table = nil },
	} {
		c := usual()
		spoil(c)
		out, err := encode.New().AppendChange([]byte("x"), api.FormatDebezium, c)
		require.ErrorContains(t, err, name)
		require.Equal(t, "x", string(out))
	}
}
