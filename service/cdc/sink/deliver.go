package sink

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// An attempt that is under way when the sink is stopped may end, so that what it has delivered does not come again.
	grace = 2 * time.Second
	// longestPause bounds what a destination can ask for.
	longestPause = time.Hour
)

// delivery hands over what streams deliver, one after the other.
type delivery struct {
	sink        *Sink
	state       *state
	destination Destination
	parked      *parked // nil if nothing is parked
	delays      *backoff.ExponentialBackOff
	// bad is how many of the next records are known to have one among them that the destination rejects.
	bad int
}

func newDelays(c api.RetryConfig) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = c.InitialDelay.Std(), c.MaxDelay.Std()
	b.Multiplier, b.RandomizationFactor = 2, 0.5
	b.Reset()
	return b
}

// deliverAll hands over what a stream delivers until it ends, and returns why it has.
func (d *delivery) deliverAll(ctx context.Context, stream api.Stream) error {
	reading, cancel := context.WithCancel(ctx)
	r := &reader{sink: d.sink, stream: stream}
	batches, free := make(chan *batch), make(chan *batch, readAhead+1)
	for range cap(free) {
		free <- new(batch)
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.run(reading, batches, free) })
	defer wg.Wait()
	defer cancel()
	for b := range batches {
		if err := d.deliver(ctx, stream, b.records); err != nil {
			return err
		}
		free <- b
	}
	return cmp.Or(ctx.Err(), r.err)
}

// deliver hands over records until the destination has confirmed all, or they are parked.
func (d *delivery) deliver(ctx context.Context, stream api.Stream, records []Record) error {
	d.bad = 0
	for len(records) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := d.next(ctx, records)
		if err == nil && n == 0 {
			err = d.park(ctx, stream, &records[0], errBehindParked)
			if err == nil {
				records = records[1:]
				continue
			}
		}
		confirmed := 0
		if err == nil {
			if confirmed, err = d.attempt(ctx, records[:n]); confirmed > 0 {
				d.confirm(ctx, stream, records[:confirmed])
				records, n = records[confirmed:], n-confirmed
			}
		}
		if err == nil || n == 0 && confirmed > 0 {
			continue
		}
		rejected, ok := errors.AsType[*RejectedError](err)
		switch {
		case ok && (rejected.One || n == 1):
			if err := d.reject(ctx, stream, &records[0], rejected); err != nil {
				return err
			}
			records = records[1:]
		case ok:
			d.state.refused()
			d.bad = n
		default:
			if err := d.pause(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// next returns how many records are handed over at once; 0 if the first is to be parked because of one that was.
func (d *delivery) next(ctx context.Context, records []Record) (int, error) {
	n := len(records)
	if d.bad > 0 {
		n = max(d.bad/2, 1)
	}
	if d.parked == nil {
		return n, nil
	}
	for i := range records[:n] {
		held, err := d.parked.holds(ctx, records[i].Change)
		if err != nil || held {
			return i, err
		}
	}
	return n, nil
}

// attempt hands records over. It may go on for a moment when ctx is done.
func (d *delivery) attempt(ctx context.Context, records []Record) (int, error) {
	attempting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	told := make(chan *time.Timer, 1)
	stop := context.AfterFunc(ctx, func() { told <- time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) }) })
	defer func() {
		if !stop() {
			(<-told).Stop()
		}
	}()
	return d.destination.Deliver(attempting, records)
}

// confirm acknowledges what the destination has confirmed.
func (d *delivery) confirm(ctx context.Context, stream api.Stream, records []Record) {
	if failed := d.state.confirmed(records); failed > 0 {
		d.sink.logger.InfoContext(ctx, "the destination takes changes again", "failed_attempts", failed)
	}
	d.delays.Reset()
	d.bad = max(d.bad-len(records), 0)
	d.acknowledge(stream, &records[len(records)-1])
}

// acknowledge acknowledges all changes up to a record. What a stream that has ended does not note comes again.
func (d *delivery) acknowledge(stream api.Stream, record *Record) {
	_ = stream.Ack(record.Change.Position())
}

// errBehindParked is why a change is parked that the destination was not asked for.
var errBehindParked = errors.New("an earlier change of the same key is parked")

// reject deals with a record that the destination does not take.
func (d *delivery) reject(ctx context.Context, stream api.Stream, record *Record, cause error) error {
	d.bad = 0
	d.state.refused()
	if d.parked == nil {
		return errs.New(errs.Invalid, "the destination rejects the change with the cursor %s%s: %w; mend the cause and %s, then the sink goes on with "+
			"this change; or give the sink on_reject: park, which puts it aside", record.Cursor, ofTable(record.Change), cause, reload())
	}
	for {
		err := d.park(ctx, stream, record, cause)
		if err == nil {
			return nil
		}
		if err := d.pause(ctx, err); err != nil {
			return err
		}
	}
}

func ofTable(c *api.Change) string {
	if c.Table == nil {
		return ""
	}
	return " (" + string(c.Op) + " of " + c.Table.Schema + "." + c.Table.Name + ")"
}

// park puts a record aside.
func (d *delivery) park(ctx context.Context, stream api.Stream, record *Record, cause error) error {
	if err := d.parked.put(ctx, record, cause); err != nil {
		return err
	}
	d.state.parked(record)
	d.acknowledge(stream, record)
	level := slog.LevelError
	if errors.Is(cause, errBehindParked) {
		level = slog.LevelDebug // the first of the key was told
	}
	d.sink.logger.Log(ctx, level, "a change is parked", "cursor", record.Cursor, "change", strings.Trim(ofTable(record.Change), " ()"),
		"key", d.parked.keyOf(record.Change, false), "error", cause)
	return nil
}

// pause waits before the next attempt, or returns why there is none.
func (d *delivery) pause(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errs.Is(err, errs.Invalid), errs.Is(err, errs.PermissionDenied), errs.Is(err, errs.NotFound):
		d.state.failed(err)
		return err
	}
	failed := d.state.failed(err)
	if most := d.sink.config.Retry.MaxAttempts; most > 0 && failed >= most {
		return errs.New(errs.Invalid, "%d attempts to deliver have failed (retry.max_attempts): %w; mend the cause and %s", failed, err, reload())
	}
	if failed == 1 {
		d.sink.logger.WarnContext(ctx, "the destination does not take changes, they stay in the log and are tried again", "error", err)
	}
	delay := min(d.delays.NextBackOff(), d.sink.config.Retry.MaxDelay.Std())
	if asked, ok := errors.AsType[*RetryAfterError](err); ok {
		delay = max(delay, min(asked.Pause, longestPause))
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		d.state.retried()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
