package kafka_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// change is one of the table users with the columns id and name.
func change(sequence int, op api.Op, before, after []sqlapi.Value) *api.Change {
	table := &sqlapi.Table{Schema: "main", Name: "users", Columns: []sqlapi.Column{{Name: "id"}, {Name: "name"}}, Key: []int{0}}
	tx := &api.Transaction{Generation: "5e1f", Sequence: uint64(sequence), LSN: "1"}
	return &api.Change{Op: op, Table: table, Transaction: tx, Last: true, Before: before, After: after}
}

func row(id int, name string) []sqlapi.Value {
	return []sqlapi.Value{sqlapi.IntegerValue(int64(id)), sqlapi.TextValue(name)}
}

// encoded makes records of changes.
func encoded(t *testing.T, format api.Format, changes ...*api.Change) []sink.Record {
	t.Helper()
	all := make([]sink.Record, len(changes))
	for i, c := range changes {
		value, err := encode.New().AppendChange(nil, format, c)
		require.NoError(t, err)
		all[i] = sink.Record{Change: c, Cursor: c.Cursor(), Value: value}
	}
	return all
}

func deliver(t *testing.T, d sink.Destination, records []sink.Record) {
	t.Helper()
	n, err := d.Deliver(t.Context(), records)
	require.NoError(t, err)
	require.Equal(t, len(records), n)
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// all is one record of each kind that a table can have.
func all() []*api.Change {
	truncated := change(5, api.OpTruncate, nil, nil)
	large := change(6, api.OpUpdate, []sqlapi.Value{sqlapi.IntegerValue(2), {}}, []sqlapi.Value{sqlapi.IntegerValue(3), {}})
	large.KeyOnly, large.Unchanged = true, []int{1}
	same := change(7, api.OpUpdate, row(3, "kept"), []sqlapi.Value{sqlapi.IntegerValue(4), {}})
	same.Unchanged = []int{1}
	return []*api.Change{
		change(1, api.OpInsert, nil, row(1, "a")), change(2, api.OpUpdate, row(1, "a"), row(1, "b")),
		change(3, api.OpUpdate, row(1, "b"), row(2, "b")), change(4, api.OpDelete, row(2, "b"), nil), truncated, large, same,
	}
}

func TestFlat(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	flat := func(c *api.KafkaConfig) { c.Format = api.FormatFlat }
	deliver(t, c.open(t, flat), encoded(t, api.FormatFlat, all()...))
	var got []string
	for _, r := range c.records(t) {
		value := string(r.Value)
		switch {
		case r.Value == nil:
			value = "tombstone"
		case r.Key == nil:
			value = "" // there is no row
		}
		require.Equal(t, "5e1f main.users app:cdc", header(r, "wippy-generation")+" "+header(r, "wippy-table")+" "+header(r, "wippy-source"))
		got = append(got, strings.Join([]string{header(r, "wippy-op"), header(r, "wippy-cursor"), string(r.Key), value}, " "))
	}
	require.Equal(t, []string{
		`insert 5e1f-0000000000000001-00000000 {"id":1} {"id":1,"name":"a"}`,
		`update 5e1f-0000000000000002-00000000 {"id":1} {"id":1,"name":"b"}`,
		`delete 5e1f-0000000000000003-00000000 {"id":1} tombstone`,
		`insert 5e1f-0000000000000003-00000000+ {"id":2} {"id":2,"name":"b"}`,
		`delete 5e1f-0000000000000004-00000000 {"id":2} tombstone`,
		`truncate 5e1f-0000000000000005-00000000  `,
		`delete 5e1f-0000000000000006-00000000 {"id":2} tombstone`,
		`insert 5e1f-0000000000000006-00000000+ {"id":3} {"id":3,"$unchanged":["name"]}`,
		`delete 5e1f-0000000000000007-00000000 {"id":3} tombstone`,
		`insert 5e1f-0000000000000007-00000000+ {"id":4} {"id":4,"name":"kept"}`,
	}, got)
}

func TestDebezium(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	deliver(t, c.open(t), encoded(t, api.FormatDebezium, all()[2:4]...))
	got := c.records(t)
	require.Len(t, got, 3)
	for i, want := range []struct{ key, newKey, oldKey, op, begin string }{
		{`{"id":1}`, `{"id":2}`, "", `"op":"d"`, `{"before":{"id":1,"name":"b"},"after":null`},
		{`{"id":2}`, "", `{"id":1}`, `"op":"c"`, `{"before":null,"after":{"id":2,"name":"b"}`},
		{`{"id":2}`, "", "", `"op":"d"`, `{"before":{"id":2,"name":"b"},"after":null`},
	} {
		require.Equal(t, want.key, string(got[i].Key))
		require.Equal(t, want.newKey, header(got[i], "__debezium.newkey"))
		require.Equal(t, want.oldKey, header(got[i], "__debezium.oldkey"))
		require.Contains(t, string(got[i].Value), want.op)
		require.True(t, strings.HasPrefix(string(got[i].Value), want.begin), "%s", got[i].Value)
	}
}

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	events := func(c *api.KafkaConfig) { c.Format = api.FormatCloudEvents }
	deliver(t, c.open(t, events), encoded(t, api.FormatCloudEvents, all()[2]))
	got := c.records(t)
	require.Len(t, got, 2)
	require.Equal(t, "application/cloudevents+json; charset=UTF-8", header(got[0], "content-type"))
	require.Contains(t, string(got[0].Value), `"id":"5e1f-0000000000000003-00000000",`)
	require.Contains(t, string(got[1].Value), `"id":"5e1f-0000000000000003-00000000+",`)
	require.Contains(t, string(got[1].Value), `"type":"wippy.cdc.insert"`)
}

// A snapshot has a name, by which readers know one that begins anew.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	of := change(1, api.OpSnapshot, nil, row(1, "a"))
	begin := change(1, api.OpBegin, nil, nil)
	begin.Table = nil
	deliver(t, c.open(t), encoded(t, api.FormatDebezium, begin, of, change(2, api.OpInsert, nil, row(2, "b"))))
	got := c.records(t)
	require.Len(t, got, 3)
	require.NotEmpty(t, of.Snapshot())
	for i, want := range []string{of.Snapshot(), of.Snapshot(), ""} {
		require.Equal(t, want, header(got[i], "wippy-snapshot"))
	}
	require.Empty(t, header(got[0], "wippy-table"))
}

// Names become parts of topics, and what is of no row has a topic of its own.
func TestTopics(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	names := []string{"order_items", "a.b", "a-b", "größe"}
	changes := make([]*api.Change, 0, len(names)+1)
	for i, name := range names {
		one := change(i+1, api.OpInsert, nil, row(1, "a"))
		one.Table.Name = name
		changes = append(changes, one)
	}
	made := change(9, api.OpSchema, nil, nil)
	made.Schema = &api.SchemaChange{Action: api.Create}
	changes = append(changes, made)
	d := c.open(t, func(c *api.KafkaConfig) { c.Topic, c.SchemaTopic = "shop.{schema}.{table}", "" })
	deliver(t, d, encoded(t, api.FormatDebezium, changes...))
	for i, topic := range []string{"shop.main.order_items", "shop.main.a-2Eb", "shop.main.a-2Db", "shop.main.gr-C3-B6-C3-9Fe", "shop._schema"} {
		c.topics = []string{topic}
		got := c.records(t)
		require.Len(t, got, 1, topic)
		require.Equal(t, changes[i].Cursor(), header(got[0], "wippy-cursor"))
	}
}
