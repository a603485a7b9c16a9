package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

const (
	// How long a slot may be in use when it is wanted: by our own connection that the server has yet to notice the end
	// of, for instance.
	busyPatience = 5 * time.Second
)

// errPause says that reading ends for now: no stream is open any more.
var errPause = errors.New("pause")

// receiver is the reading of a slot from one START_REPLICATION on.
type receiver struct {
	*run
	decoder *decoder
	// nextStatus is when the next status is due, nextTick when the checkpoint is.
	nextStatus, nextTick time.Time
	silence              silence
	// timeout is the server's wal_sender_timeout, 0 if there is none.
	timeout time.Duration
	// backlog is the position up to which changes have committed before: they come as fast as the server reads them.
	backlog pglogrepl.LSN
	// waitedFor is the slowest reader, which has been at waitedAt since stalled; stuck are those that have not moved
	// for too long, with where they are.
	waitedFor *log.Reader
	waitedAt  int64
	stalled   time.Time
	stuck     map[*log.Reader]int64
	// skipping is why the server leaves changes out, nil if it does not.
	skipping error
}

// receive reads until ctx is done, or until no stream is open and the source is to hold.
func (r *run) receive(ctx context.Context) error {
	if err := r.reconnect(ctx); err != nil {
		return err
	}
	end, err := r.recognise(ctx, r.conn)
	if err != nil {
		return err
	}
	r.epoch = r.Log.Rewind(uint64(r.positions.again()))
	r.openAgain()
	timeout, err := r.senderTimeout(ctx)
	if err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	rx := &receiver{
		run: r, decoder: newDecoder(r.source.most), backlog: end, timeout: timeout,
		stuck: make(map[*log.Reader]int64),
	}
	rx.decoder.describe, rx.decoder.commit = describer(r.db), rx.committed
	defer rx.decoder.close()
	r.reading.attach(r.conn.Conn())
	defer r.reading.attach(nil)
	defer context.AfterFunc(ctx, r.reading.interrupt)()
	rx.nextTick = time.Now().Add(r.source.config.StatusInterval.Std())
	err = rx.loop(ctx)
	if ctx.Err() != nil || errors.Is(err, errPause) {
		r.advance()
		r.pause(ctx)
		return nil
	}
	return err
}

// start makes the server send, from the position that is confirmed.
func (r *run) start(ctx context.Context) error {
	config := r.source.config
	arguments := []string{"proto_version '1'", "publication_names " + literal(quote(publicationOf(config)))}
	if r.source.streaming() {
		if r.server.version < 140000 {
			return errs.New(errs.Invalid, "streaming: the server is version %d, and streams from version 14 on: remove the field streaming", r.server.version/10000)
		}
		arguments[0] = "proto_version '2'"
		arguments = append(arguments, "streaming 'on'")
	}
	warned := false
	confirmed, _ := r.positions.now()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := pglogrepl.StartReplication(ctx, r.conn, quote(config.SlotName), confirmed,
			pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: arguments})
		if err == nil {
			return struct{}{}, nil
		}
		if !busy(err) {
			return struct{}{}, backoff.Permanent(r.refused(ctx, err))
		}
		// What follows the error must be read before the connection can be used again.
		err = errBusy(ctx, r.db, config.SlotName)
		if !warned {
			warned = true
			r.logger.WarnContext(ctx, "the slot cannot be read yet", "error", err)
		}
		hangUp(ctx, r.conn)
		r.conn = nil
		if again := r.reconnect(ctx); again != nil {
			return struct{}{}, backoff.Permanent(again)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 20 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: time.Second,
	}), backoff.WithMaxElapsedTime(busyPatience))
	return err
}

// refused says why the server does not send, or stops to.
func (r *run) refused(ctx context.Context, err error) error {
	name := r.source.config.SlotName
	switch sqlstate.Code(err) {
	case "42704": // undefined_object
		return r.missing(ctx, err)
	case "55000": // object_not_in_prerequisite_state
		if now, lookErr := lookSlot(ctx, r.db, name); lookErr == nil && now.status == "lost" {
			return errInvalidated(name, now.reason)
		}
		// The slot was found to be one that can be read: what is wrong is the state of the server, a standby that has
		// yet to be promoted for instance.
		return errs.New(errs.Unavailable, "read slot %q: %w", name, err)
	}
	return fmt.Errorf("read slot %q: %w", name, classify(ctx, err))
}

// missing says what err misses. The server decodes old WAL with the catalogs of that time, in which a publication that
// is younger than the slot does not exist.
func (r *run) missing(ctx context.Context, err error) error {
	name, publication := r.source.config.SlotName, publicationOf(r.source.config)
	exists, lookErr := publicationExists(ctx, r.db, publication)
	if lookErr == nil && exists {
		if now, lookErr := lookSlot(ctx, r.db, name); lookErr == nil && now.exists {
			return errs.New(errs.Invalid, "slot %q has yet to read what is older than publication %q, which the server cannot decode with it: "+
				"type SELECT pg_drop_replication_slot(%s), start the source again, and read a snapshot: the slot's changes cannot be had", name, publication, literal(name))
		}
	}
	return errs.New(errs.Unavailable, "slot or publication is gone: %w", err)
}

// loop takes what the server sends.
func (rx *receiver) loop(ctx context.Context) error {
	if err := rx.status(ctx, true); err != nil {
		return err
	}
	for {
		waits := rx.reading.setDeadline(rx.nextStatus)
		if err := rx.look(ctx); err != nil {
			return err
		}
		if !waits {
			continue
		}
		if err := rx.readMessages(ctx); err != nil {
			return err
		}
	}
}

// readMessages takes messages until the next status is due, or until it is interrupted.
func (rx *receiver) readMessages(ctx context.Context) error {
	for {
		asked := time.Now()
		// The deadline of the connection ends the waiting: a context would cost a goroutine for each message.
		message, err := rx.conn.ReceiveMessage(context.Background()) //nolint:contextcheck // see above
		now := time.Now()
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			// A process that was not scheduled for long has not waited for the server.
			rx.silence.lasted += max(0, min(now.Sub(asked), rx.nextStatus.Sub(asked)))
			return nil
		}
		if err != nil {
			return errs.New(errs.Unavailable, "the connection to the server was lost: %w", err)
		}
		rx.silence.heard()
		if err := rx.take(ctx, message); err != nil {
			return err
		}
		if now.After(rx.nextStatus) {
			return nil
		}
	}
}

// look does what is due, and says whether reading must end.
func (rx *receiver) look(ctx context.Context) error {
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case rx.hold(), rx.rewinds.any(), !rx.discards() && rx.Epoch() != rx.epoch:
		return errPause
	case now.Before(rx.nextStatus):
		return nil
	}
	if err := rx.bear(ctx); err != nil {
		return err
	}
	if now.After(rx.nextTick) {
		rx.nextTick = now.Add(rx.source.config.StatusInterval.Std())
		rx.advance()
		answered, err := rx.tick(ctx)
		if err != nil {
			return err
		}
		if answered {
			rx.warnOfSynchrony(ctx)
		} else {
			rx.silence = silence{rx.silence.lasted + time.Since(now), true}
		}
	}
	return rx.status(ctx, true)
}

// status tells the server what was confirmed, and asks it for an answer if ask is set.
func (rx *receiver) status(ctx context.Context, ask bool) error {
	rx.advance()
	rx.nextStatus = time.Now().Add(rx.statusInterval())
	return rx.confirm(ctx, ask)
}

// confirm sends the confirmed position.
func (r *run) confirm(ctx context.Context, ask bool) error {
	_ = r.conn.Conn().SetWriteDeadline(time.Now().Add(connectTimeout)) // writing will fail, too
	lsn, all := r.positions.confirmable()
	if !all {
		if err := r.leaving.Load(); err != nil {
			return errs.New(errs.Unavailable, "the server is shutting down: %w", *err)
		}
		r.running.SaveSoon()
	}
	err := pglogrepl.SendStandbyStatusUpdate(ctx, r.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: lsn, WALFlushPosition: lsn, WALApplyPosition: lsn, ReplyRequested: ask,
	})
	if err != nil {
		return errs.New(errs.Unavailable, "the connection to the server was lost: %w", err)
	}
	return nil
}

// take takes one message.
func (rx *receiver) take(ctx context.Context, message pgproto3.BackendMessage) error {
	switch m := message.(type) {
	case *pgproto3.CopyData:
		return rx.data(ctx, m.Data)
	case *pgproto3.ErrorResponse:
		return rx.stopStreaming(ctx, pgconn.ErrorResponseToPgError(m))
	case *pgproto3.NoticeResponse:
		return rx.noticed(ctx, m)
	case *pgproto3.CopyDone:
		return errs.New(errs.Unavailable, "the server has ended the replication")
	default:
		return nil
	}
}

// noticed takes a warning that the publication did not exist at this point of the WAL: from version 18 on the server
// leaves out what was changed then, and goes on.
func (rx *receiver) noticed(ctx context.Context, m *pgproto3.NoticeResponse) error {
	if m.Code != "55000" || m.SeverityUnlocalized != "WARNING" {
		return nil
	}
	err := errs.New(errs.Unavailable, "publication %q did not exist when they were made (%s)", publicationOf(rx.source.config), m.Message)
	rx.skipping = err
	rx.decoder.spoil(err)
	return rx.status(ctx, true) // the answer tells how far the server has left changes out
}

// skipped tells streams that changes up to a position were left out. The server warns once for each time that it is
// made to send: to hear of others, it is made to send anew.
func (rx *receiver) skipped(upTo pglogrepl.LSN) error {
	if rx.lose(rx.skipping) || rx.discards() {
		rx.positions.pass(upTo)
	} // else the next stream must hear of it
	return errPause
}

func (rx *receiver) data(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		alive, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		if err != nil {
			return err
		}
		rx.reaches(alive.ServerWALEnd)
		if !rx.decoder.open() {
			if rx.skipping != nil {
				return rx.skipped(alive.ServerWALEnd)
			}
			rx.positions.pass(alive.ServerWALEnd)
		}
		if alive.ReplyRequested {
			return rx.status(ctx, false)
		}
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return err
		}
		rx.reaches(x.ServerWALEnd)
		if err := rx.decoder.decode(ctx, x.WALData); err != nil {
			if errors.Is(err, errPause) {
				return err
			}
			return errs.New(errs.Unavailable, "read what the server has sent at %s: %w", x.WALStart, err)
		}
	}
	return nil
}
