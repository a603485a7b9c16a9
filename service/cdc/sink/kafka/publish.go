package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// pending is a record of Kafka that is on its way.
type pending struct {
	*kgo.Record
	// of is the index of the change that it is made of.
	of int
	// err is why it was not stored.
	err error
}

// publish has the first records stored, as many as go at once, and returns how many are, counted from the first.
//
// All are with the client before it sends any. If the brokers then do not store one, the client gives up all that it has
// of that partition with it: nothing is stored behind a hole, except in other partitions, where the same records come
// again.
func (d *Destination) publish(ctx context.Context, records []sink.Record) (int, error) {
	all, n, err := d.next(records)
	if err != nil {
		return 0, err
	}
	trying, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	var wg sync.WaitGroup
	wg.Add(len(all))
	for i := range all {
		d.client.Produce(trying, all[i].Record, func(_ *kgo.Record, err error) {
			all[i].err = err
			wg.Done()
		})
	}
	late := d.client.Flush(trying)
	if late != nil {
		d.Close() // which fails what is left: a client that has nothing to do does not look at contexts
	}
	wg.Wait()
	for i := range all {
		if err := all[i].err; errors.Is(err, kgo.ErrClientClosed) {
			return all[i].of, late
		} else if err != nil {
			return all[i].of, refusal(err)
		}
		d.known[all[i].Topic] = true
	}
	return n, nil
}

// next makes messages of the first records, and returns how many of them. A topic that the client does not know yet gets
// its first change alone: the client sends what it has by then while it learns of the partitions, and not all at once.
func (d *Destination) next(records []sink.Record) ([]pending, int, error) {
	all := make([]pending, 0, len(records)+1)
	for n := range records {
		made, err := d.messages(&records[n])
		if err != nil {
			return nil, 0, err
		}
		for _, m := range made {
			tooLarge := size(m) > int(d.config.MaxMessageBytes)
			switch {
			case n > 0 && (tooLarge || !d.known[m.Topic]):
				return all, n, nil
			case tooLarge:
				return nil, 0, &sink.RejectedError{One: true, Err: fmt.Errorf("the record has %d bytes, and max_message_bytes is %s",
					size(m), d.config.MaxMessageBytes)}
			}
		}
		for _, m := range made {
			all = append(all, pending{Record: m, of: n})
		}
		if !d.known[made[0].Topic] {
			return all, 1, nil
		}
	}
	return all, len(records), nil
}

// refusal makes a rejection of an error that is about what is in records. The brokers do not say which: they store those
// of a partition together, or none.
func refusal(err error) error {
	if isAny(err, kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp) {
		return &sink.RejectedError{Err: err}
	}
	return err
}
