package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// How long a stream that takes nothing may hold up the backlog.
	stallPatience = 10 * time.Second
	// How often it is looked whether there is room for more.
	roomInterval = 2 * time.Millisecond
)

// committed hands a transaction to the log.
func (rx *receiver) committed(ctx context.Context, tx *transaction, lost error) error {
	if confirmed, _ := rx.positions.now(); tx.end <= confirmed {
		tx.drop()
		return nil // it was acknowledged before
	}
	rx.newest.Store(uint64(tx.end))
	if rx.toldOf(tx) { // it is received again for others
		tx.drop()
		rx.positions.skip(tx.end)
		return nil
	}
	if lost != nil {
		if !rx.lose(lost) && !rx.discards() {
			return errPause // the next stream must hear of it
		}
		rx.positions.skip(tx.end)
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
		if err := rx.room(ctx, tx.size()); err != nil {
			tx.drop()
			return err
		}
	}
	return rx.append(tx)
}

// toldOf reports whether streams were told that a transaction could not be captured.
func (rx *receiver) toldOf(tx *transaction) bool {
	_, told := rx.lost[uint64(tx.end)]
	return told
}

// lose ends streams with an error and reports whether there were any.
func (rx *receiver) lose(err error) (told bool) {
	sequence := rx.newest.Load()
	if told = rx.Lose(sequence, err); told {
		rx.lost[sequence] = err
	}
	return told
}

// append appends a transaction. If the source holds, it is for the streams that have been open since it began to read:
// for the next ones, everything that was not acknowledged is read again.
func (rx *receiver) append(tx *transaction) error {
	if rx.discards() {
		if rx.Append(tx.logged()) {
			rx.positions.append(tx.end)
		} else {
			rx.positions.skip(tx.end)
		}
		return nil
	}
	if !rx.AppendIn(rx.epoch, tx.logged()) {
		return errPause
	}
	rx.positions.append(tx.end)
	return nil
}

// room waits until the streams have read so much of the backlog that another transaction does not make one fall behind:
// what was kept while no stream was open comes faster than any reader can take it, and no writer is held up if it comes
// later. A stream that takes nothing at all is not waited for.
func (rx *receiver) room(ctx context.Context, size int64) error {
	tick := time.NewTicker(roomInterval)
	defer tick.Stop()
	for {
		slowest, at := rx.Late(size, rx.stuck)
		if slowest == nil {
			rx.waitedFor = nil
			return nil
		}
		now := time.Now()
		if slowest != rx.waitedFor || at != rx.waitedAt {
			rx.waitedFor, rx.waitedAt, rx.stalled = slowest, at, now
		}
		if now.Sub(rx.stalled) > stallPatience {
			rx.stuck[slowest] = at
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
		if rx.hold() || rx.rewinds.any() {
			return errPause
		}
	}
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
	r.reading.attach(nil)
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
