package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// How long a stream that takes nothing may hold up the backlog.
	stallPatience = 10 * time.Second
	// How often it is looked whether there is room for more.
	roomInterval = 2 * time.Millisecond
)

// committed hands a transaction to the log.
func (rx *receiver) committed(ctx context.Context, tx *transaction, lost error) error {
	if tx.end <= rx.positions.confirmed {
		return nil // it was taken before
	}
	rx.newest.Store(uint64(tx.end))
	if lost != nil {
		if !rx.Lose(lost) && !rx.discards() {
			return errPause // the next stream must hear of it
		}
		rx.positions.pass(tx.end)
		if rx.skipping != nil {
			return errPause // see skipped
		}
		return nil
	}
	if rx.skipping != nil {
		tx.drop()
		return rx.skipped(tx.at) // the transaction itself comes again
	}
	if tx.size() == 0 {
		rx.positions.pass(tx.end)
		return nil
	}
	if tx.at < rx.backlog {
		if err := rx.room(ctx, tx.Size()); err != nil {
			return err
		}
	}
	return rx.append(tx)
}

// append appends a transaction. If the source holds, it is for those who have been listening since it began to read:
// for the next ones, everything that was not taken is read again.
func (rx *receiver) append(tx *transaction) error {
	if rx.discards() {
		if index, kept := rx.Append(tx); kept {
			rx.positions.append(index, tx.end)
		} else {
			rx.positions.pass(tx.end)
		}
		return nil
	}
	index, kept := rx.AppendDuring(rx.watch, tx)
	if !kept {
		tx.drop()
		return errPause
	}
	rx.positions.append(index, tx.end)
	return nil
}

// room waits until the streams have read so much of the backlog that another transaction does not make one fall behind.
// What was kept while nobody listened comes faster than anybody can read it, and nobody is held up if it comes
// later. A stream that takes nothing at all is not waited for.
func (rx *receiver) room(ctx context.Context, size int64) error {
	tick := time.NewTicker(roomInterval)
	defer tick.Stop()
	for {
		lag, mark := rx.Straggler(rx.stuck)
		if lag == 0 || lag+size <= rx.allowance() {
			rx.stalled = time.Time{}
			return nil
		}
		now := time.Now()
		if mark != rx.mark || rx.stalled.IsZero() {
			rx.mark, rx.stalled = mark, now
		}
		if now.Sub(rx.stalled) > stallPatience {
			rx.stuck[mark] = struct{}{}
			continue
		}
		if now.After(rx.nextStatus) {
			if err := rx.status(ctx, true); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if rx.hold() {
			return errPause
		}
	}
}

// allowance is how far a stream may be behind while it reads the backlog: less than any default.
func (rx *receiver) allowance() int64 {
	return min(int64(rx.source.config.LogBytes), int64(api.DefaultMaxBytes)) / 2
}

// pause ends the sending, in good order so that the server takes note of what was confirmed. The connection cannot be
// used again: a server does not start sending a second time on the same one.
func (r *run) pause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if r.confirm(ctx, false) == nil {
		r.endCopy(ctx)
	}
	hangUp(ctx, r.conn)
	r.conn = nil
}

// endCopy tells the server to stop sending and reads what it has sent by then.
func (r *run) endCopy(ctx context.Context) {
	r.alarm.attach(nil)
	deadline, _ := ctx.Deadline()
	_ = r.conn.Conn().SetDeadline(deadline) // reading and writing will fail, too
	r.conn.Frontend().Send(&pgproto3.CopyDone{})
	if r.conn.Frontend().Flush() != nil {
		return
	}
	for {
		message, err := r.conn.ReceiveMessage(context.Background()) //nolint:contextcheck // the deadline of the connection is ctx's
		if err != nil {
			return
		}
		if _, ready := message.(*pgproto3.ReadyForQuery); ready {
			return
		}
	}
}

// farewell leaves behind what was taken, so that the next run repeats nothing.
func (r *run) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
	defer cancel()
	r.save(ctx)
}
