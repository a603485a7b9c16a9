package sqlite

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/wippy-cdc/runtime/api/errs"
)

// A disk that is full must not keep a database from being opened: what commits while the log cannot be begun is a gap, as what cannot be
// written to it is.

// isFull reports whether an error says that there is no room for a file.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// beginOrWait is begin, but that the connection goes on without the log while there is no room for it, unless commits are to be refused
// then.
func (d *durable) beginOrWait(ctx context.Context, c *conn) error {
	err := d.begin(ctx, c)
	if !isFull(err) {
		d.setAway(false)
		return err
	}
	d.log.Revert()
	if d.log.Settings().Refuse {
		return errs.New(errs.Unavailable, "the log of the durable source cannot be begun, and its on_log_full is refuse; "+
			"make room on the disk, or set on_log_full: commit: %w", err)
	}
	if d.setAway(true) {
		d.logger.ErrorContext(ctx, "the log of a durable source cannot be begun: what commits meanwhile is a gap for its consumers; make room on the disk",
			"error", err)
	}
	return nil
}

// setAway says whether the log is away, and reports whether that is new.
func (d *durable) setAway(away bool) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	changed = d.away.isAway != away
	if d.away.isAway = away; !away {
		d.away.told = 0
	}
	return changed
}

// toldAway returns the newest sequence of what has committed while the log was away, 0 if there is nothing.
func (d *durable) toldAway() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.away.told
}

// nextAway returns the sequence of what commits while the log is away; false if it is not.
func (d *durable) nextAway() (sequence uint64, away bool) {
	if d == nil {
		return 0, false
	}
	newest := d.log.Size().Newest
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.away.isAway {
		return 0, false
	}
	d.away.told = max(d.away.told, newest) + 1
	return d.away.told, true
}

// ResumeLog begins with the durable log if there was no room for it when the connection was opened. A source calls it from time to time.
// It waits for the writer.
func (db *DB) ResumeLog(ctx context.Context) error {
	d := db.durable.Load()
	if d == nil || !d.isAway() {
		return nil
	}
	err := db.holdWriter(ctx, func(writer *conn) error {
		if writer.session.durable != nil { // the connection is another one by now
			return nil
		}
		db.LookForOthers()
		err := d.beginOrWait(ctx, writer)
		if err == nil && writer.session.durable != nil {
			db.filterVersion.Add(1)
			d.logger.InfoContext(ctx, "the log of a durable source goes on")
		}
		return err
	})
	return prefix(err, "sqlite: durable log of %q", db.id)
}

func (d *durable) isAway() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.away.isAway
}
