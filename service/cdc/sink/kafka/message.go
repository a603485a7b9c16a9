package kafka

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// The headers of a record. The last two are those of Debezium.
const (
	headerCursor     = "wippy-cursor"
	headerGeneration = "wippy-generation"
	headerOp         = "wippy-op"
	headerTable      = "wippy-table"
	headerSource     = "wippy-source"
	headerSnapshot   = "wippy-snapshot"
	headerType       = "content-type"
	headerNewKey     = "__debezium.newkey"
	headerOldKey     = "__debezium.oldkey"
)

// second stands behind the cursor of the second record of a change, so that it is greater than that of the first.
const second = "+"

// messages makes records of Kafka of a change: one, or two if the key has changed.
func (d *Destination) messages(record *sink.Record) ([]*kgo.Record, error) {
	c := record.Change
	key := d.encoder.AppendKey(nil, c, false)
	newKey := d.encoder.AppendKey(nil, c, true)
	if len(newKey) == 0 {
		value := record.Value
		if c.Op == api.OpDelete && d.config.Format == api.FormatFlat {
			value = nil
		}
		return []*kgo.Record{d.message(c, key, value, record.Cursor)}, nil
	}
	gone, there := split(c)
	var old []byte
	var err error
	if d.config.Format != api.FormatFlat {
		if old, err = d.encoder.AppendChange(nil, d.config.Format, gone); err != nil {
			return nil, err
		}
	}
	value, err := d.encoder.AppendChange(nil, d.config.Format, there)
	if err != nil {
		return nil, err
	}
	if d.config.Format == api.FormatCloudEvents { // the IDs of two events must not be the same
		id := fmt.Appendf(nil, `"id":"%s`, record.Cursor)
		value = bytes.Replace(value, append(id, '"'), append(slices.Clip(id), second+`"`...), 1)
	}
	first, next := d.message(gone, key, old, record.Cursor), d.message(there, newKey, value, record.Cursor+second)
	if d.config.Format == api.FormatDebezium {
		first.Headers = append(first.Headers, kgo.RecordHeader{Key: headerNewKey, Value: newKey})
		next.Headers = append(next.Headers, kgo.RecordHeader{Key: headerOldKey, Value: key})
	}
	return []*kgo.Record{first, next}, nil
}

// message makes a record.
func (d *Destination) message(c *api.Change, key, value []byte, cursor string) *kgo.Record {
	if len(key) == 0 {
		key = nil
	}
	r := &kgo.Record{Topic: d.topics.Of(c), Key: key, Value: value, Headers: make([]kgo.RecordHeader, 0, 6)}
	set := func(name, value string) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	set(headerCursor, cursor)
	set(headerGeneration, c.Transaction.Generation)
	set(headerOp, string(c.Op))
	set(headerSource, d.config.Source.String())
	if c.Table != nil {
		set(headerTable, c.Table.Schema+"."+c.Table.Name)
	}
	if snapshot := c.Snapshot(); snapshot != "" {
		set(headerSnapshot, snapshot)
	}
	if d.config.Format == api.FormatCloudEvents { // as its binding to Kafka demands
		set(headerType, "application/cloudevents+json; charset=UTF-8")
	}
	return r
}

// split makes of an update that has changed the key a delete of the old row and an insert of the new one.
func split(c *api.Change) (gone, there *api.Change) {
	old, row := *c, *c
	old.Op, old.After, old.Unchanged, old.NewRowID, old.Last = api.OpDelete, nil, nil, 0, false
	row.Op, row.Before, row.KeyOnly, row.OldRowID = api.OpInsert, nil, false, 0
	if len(c.Unchanged) > 0 { // what the server did not send is as it was, if that was sent
		row.After, row.Unchanged = slices.Clone(c.After), nil
		for _, column := range c.Unchanged {
			if c.KeyOnly && !slices.Contains(c.Table.Key, column) {
				row.Unchanged = append(row.Unchanged, column)
				continue
			}
			row.After[column] = c.Before[column]
		}
	}
	return &old, &row
}

// size returns how large a record is at most by itself, as the client counts it.
func size(r *kgo.Record) int {
	const batch, head, ofHeader = 61 + 64, 64, 10
	n := batch + head + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += ofHeader + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// partitioner sends records by their keys, as other clients do, and all that have none to the first partition, so that
// these keep their order, too.
func partitioner() kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Key == nil {
				return 0
			}
			return keyed.Partition(r, n)
		}
	})
}
