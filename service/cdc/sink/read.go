package sink

import (
	"context"
	"slices"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// batch is what is handed over to the destination at once.
type batch struct {
	records []Record
	// text holds the values and then the cursors of all records, one behind the other; values are where the former end.
	text   []byte
	values []int
	// whole is how many records belong to transactions that are in the batch to their end.
	whole int
}

func (b *batch) reset() {
	clear(b.records)
	b.records, b.text, b.values, b.whole = b.records[:0], b.text[:0], b.values[:0], 0
}

// reader makes batches of what a stream delivers.
type reader struct {
	sink   *Sink
	stream api.Stream
	// rest is what did not fit into the last batch: the beginning of a transaction.
	rest batch
	// err is why the stream has ended, once all batches are made.
	err error
}

// readAhead is how many batches are made before the destination has taken the first of them.
const readAhead = 2

// run hands batches over until the stream ends or ctx is done. Those that come back by free are used again.
func (r *reader) run(ctx context.Context, batches chan<- *batch, free <-chan *batch) {
	defer close(batches)
	for {
		var b *batch
		select {
		case b = <-free:
		case <-ctx.Done():
			return
		}
		r.err = r.fill(ctx, b)
		if len(b.records) > 0 {
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
		}
		if r.err != nil {
			return
		}
	}
}

// fill makes a batch, which may be of use also if there is an error.
func (r *reader) fill(ctx context.Context, b *batch) error {
	b.reset()
	b.take(&r.rest)
	err := r.read(ctx, b)
	if len(b.records) > b.whole && b.whole > 0 && err == nil && r.full(b) {
		b.split(&r.rest)
	}
	b.finish()
	return err
}

// read adds changes to a batch until it is full, its first change has waited for long enough, or the stream ends.
func (r *reader) read(ctx context.Context, b *batch) error {
	if len(b.records) == 0 {
		c, err := r.stream.Next(ctx)
		if err != nil {
			return err
		}
		if err := r.add(b, c); err != nil {
			return err
		}
	}
	deadline := time.NewTimer(r.sink.config.Batch.MaxWait.Std())
	defer deadline.Stop()
	for !r.full(b) {
		c, err := r.stream.Poll()
		switch {
		case err != nil:
			return err
		case c != nil:
			if err := r.add(b, c); err != nil {
				return err
			}
			continue
		}
		select {
		case <-r.stream.Ready():
		case <-deadline.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// full reports whether a batch takes no more.
func (r *reader) full(b *batch) bool {
	return len(b.records) >= r.sink.config.Batch.MaxChanges || int64(len(b.text)) >= int64(r.sink.config.Batch.MaxBytes)
}

// add encodes a change into a batch.
func (r *reader) add(b *batch, c *api.Change) error {
	text, err := r.sink.settings.Encoder.AppendChange(b.text, r.sink.config.Format, c)
	if err != nil {
		return err
	}
	b.text = text
	b.values = append(b.values, len(text))
	b.records = append(b.records, Record{Change: c})
	if c.Last || c.Op == api.OpEnd {
		b.whole = len(b.records)
	}
	return nil
}

// take moves what is in another batch to the end of this one, which is empty.
func (b *batch) take(other *batch) {
	b.records = append(b.records, other.records...)
	b.values = append(b.values, other.values...)
	b.text = append(b.text, other.text...)
	other.reset()
}

// split moves what lies behind the last whole transaction to another batch.
func (b *batch) split(rest *batch) {
	start := b.values[b.whole-1]
	rest.records = append(rest.records, b.records[b.whole:]...)
	rest.text = append(rest.text, b.text[start:]...)
	for _, end := range b.values[b.whole:] {
		rest.values = append(rest.values, end-start)
	}
	clear(b.records[b.whole:])
	b.records, b.values, b.text = b.records[:b.whole], b.values[:b.whole], b.text[:start]
}

// finish sets the values and the cursors of all records.
func (b *batch) finish() {
	start := 0
	for i := range b.records {
		b.records[i].Value = slices.Clip(b.text[start:b.values[i]])
		b.records[i].Cursor = b.records[i].Change.Cursor()
		start = b.values[i]
	}
}
