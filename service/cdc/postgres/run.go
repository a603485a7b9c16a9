package postgres

import (
	"context"
	"database/sql"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// run is one run of a source, and its session. The fields without a lock belong to the goroutine that captures.
type run struct {
	*stream.Streams
	source   *Engine
	logger   *slog.Logger
	origin   origin
	endpoint *endpoint
	server   server
	system   system
	// db is for everything but replication.
	db *sql.DB
	// conn is the replication connection, nil while there is none.
	conn       *pgconn.PgConn
	reading    interrupter
	positions  positions
	checkpoint checkpoint
	// saved is the checkpoint that was loaded, unloaded why it could not be.
	saved    source.Checkpoint
	unloaded error
	// epoch tells for which streams the slot is read: those that are open while Log.Epoch is this.
	epoch uint64
	// tables are those of the source's own publication, as they are quoted; nil if it is another's.
	tables []string
	// refusing are the warnings about tables that writers cannot update.
	refusing string

	// running is the run as its source knows it.
	running *source.Run
	rewinds rewinds
	// lost are the transactions of which streams were told that they could not be captured, by their sequence.
	lost map[uint64]error
	// walEnd is how far the WAL of the server reaches, as far as is known.
	walEnd atomic.Uint64

	// leaving is why the server takes no checkpoint any more: it is shutting down, and waits for what is confirmed.
	leaving atomic.Pointer[error]
	// woken receives a value when a stream was opened or has ended.
	woken chan struct{}
	// newest is the end of the newest transaction received, retained how much WAL the slot keeps, or -1 if that is not
	// known.
	newest   atomic.Uint64
	retained atomic.Int64
	// synchronous says that the server's commits, those of checkpoints included, wait for what is confirmed, and that the
	// source has said so.
	synchronous atomic.Bool
}

var _ source.Session = (*run)(nil)

// Saved implements source.Session.
func (r *run) Saved() (source.Checkpoint, error) { return r.saved, r.unloaded }

// Capture implements source.Session.
func (r *run) Capture(ctx context.Context, streams *stream.Streams, ready func()) error {
	r.Streams = streams
	_, taken := r.positions.now()
	streams.BeginAt(uint64(taken))
	r.source.acquired()
	r.noteMissing(ctx)
	ready()
	err := classify(ctx, r.serve(ctx))
	r.rewinds.end(errs.New(errs.Unavailable, "cdc: source %q was stopped or replaced; resubscribe once it runs", r.origin.source))
	r.advance()
	return err
}

// ListTables implements source.Session: those of the publication.
func (r *run) ListTables(ctx context.Context) ([]string, error) {
	all, err := r.published(ctx)
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].schema + "." + all[i].name
	}
	return names, err
}

// Check implements source.Session: the goroutine that captures does it, which has to know whether the server answers.
func (r *run) Check(context.Context) error { return nil }

// Save implements source.Session.
func (r *run) Save(ctx context.Context, c source.Checkpoint) error {
	if r.source.config.Temporary {
		r.positions.forgo() // there is none that could be kept
		return nil
	}
	if c.Stopped && r.Streams != nil {
		r.advance() // streams that were closed meanwhile have acknowledged
	}
	confirmed, taken := r.positions.now()
	err := r.checkpoint.save(ctx, taken)
	switch {
	case r.synchronous.Load(), refuses(err):
		r.positions.forgo()
	case err == nil:
		r.positions.note(confirmed, taken)
	case leaves(err):
		r.leaving.Store(&err)
	}
	if err == nil && c.Bootstrapped {
		err = r.checkpoint.bootstrap(ctx)
	}
	return err
}

// refuses reports whether the server does not let a checkpoint be written, for a reason that does not pass by itself. The
// table may be locked for a while, or the server be away: then nothing is confirmed meanwhile.
func refuses(err error) bool {
	switch sqlstate.Kind(err) {
	case errs.Conflict, errs.Unavailable, errs.Timeout, errs.Canceled:
		return false
	default:
		return sqlstate.Code(err) != ""
	}
}

// leaves reports whether the server is shutting down (cannot_connect_now). It lets walsenders send everything first, and
// waits until that is confirmed, see https://www.postgresql.org/docs/current/server-shutdown.html: nothing could be, and so
// the run has to end.
func leaves(err error) bool { return sqlstate.Code(err) == "57P03" }

// Resumes implements source.Session: what streams have not acknowledged comes again from the slot.
func (r *run) Resumes() bool { return !r.discards() }

// Describe implements source.Session.
func (r *run) Describe(info *api.SourceInfo) {
	info.Generation, info.Streaming = r.origin.generation, r.source.streaming()
	if lsn := r.newest.Load(); lsn > 0 {
		info.LSN = pglogrepl.LSN(lsn).String()
	}
}

// Measure implements source.Session.
func (r *run) Measure(stats *api.Stats) {
	if size := r.retained.Load(); size >= 0 {
		stats.RetainedWALBytes = &size
	}
}

// Close implements source.Session. It is idempotent.
func (r *run) Close(ctx context.Context) {
	hangUp(ctx, r.conn)
	r.conn = nil
	_ = r.db.Close() // no caller could act on it
}

// hold reports whether the source must not read now.
func (r *run) hold() bool { return !r.discards() && !r.Watched() && !r.rewinds.any() }

// discard is the value of on_idle.
const discard = "discard"

// discards reports whether the source reads on while no stream is open, which it does not while there are consumers. A
// temporary slot goes with its connection, on which the server starts sending only once: there is no way to hold.
func (r *run) discards() bool {
	return r.source.config.Temporary || r.source.config.OnIdle == discard && !r.consumed()
}

// advance notes what was acknowledged by now.
func (r *run) advance() {
	if r.discards() && !r.Watched() {
		r.positions.discard()
		return
	}
	acked := pglogrepl.LSN(r.Acked()) // first: a consumer that is not counted in it has written its position
	floor, _ := r.slowest()
	r.positions.acknowledge(acked, floor)
}

// serve reads the slot, as long as a stream is open if it is to hold otherwise.
func (r *run) serve(ctx context.Context) error {
	if _, err := r.checkSlot(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		step := r.receive
		if r.hold() {
			step = r.rest
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rest waits for a stream. The connection is kept alive, so that its loss is noticed.
func (r *run) rest(ctx context.Context) error {
	if err := r.reconnect(ctx); err != nil {
		return err
	}
	alive := time.NewTicker(r.source.config.StandbyInterval.Std())
	defer alive.Stop()
	status := time.NewTicker(r.source.config.StatusInterval.Std())
	defer status.Stop()
	for r.hold() {
		select {
		case <-ctx.Done():
			return nil
		case <-r.woken:
		case <-alive.C:
			if err := r.ping(ctx); err != nil {
				return err
			}
		case <-status.C:
			if _, err := r.tick(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := r.recognise(ctx, r.conn)
	return err
}

// reconnect opens the replication connection if there is none.
func (r *run) reconnect(ctx context.Context) error {
	if r.conn != nil {
		return nil
	}
	conn, err := r.endpoint.replication(ctx)
	if err != nil {
		return err
	}
	r.conn = conn
	_, err = r.recognise(ctx, conn)
	return err
}

// tick does what is due each status_interval: it looks at slot and publication. It reports
// whether the server has answered; an error says that reading on is of no use.
func (r *run) tick(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if answered, err = r.checkSlot(ctx); err != nil || !answered {
		return answered, err
	}
	r.noteMissing(ctx)
	if err := r.checkShape(ctx); err != nil {
		return true, err
	}
	if err := r.checkPromotion(ctx); err != nil {
		return true, err
	}
	_ = r.warnOfRefusals(ctx) // it is looked at again
	return true, r.checkPublication(ctx)
}

// heldBack is how much WAL a slot may keep without a word.
const heldBack = int64(16 * unit.MiB)

// checkSlot measures what the slot holds back, and finds out whether it is of use still.
func (r *run) checkSlot(ctx context.Context) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	now, err := lookSlot(ctx, r.db, r.source.config.SlotName)
	if err != nil {
		r.retained.Store(-1)
		return false, nil // if the server is gone, the connection for replication will say so
	}
	r.retained.Store(now.retained)
	if now.retained >= 0 {
		r.reaches(now.restarts + pglogrepl.LSN(now.retained))
	}
	switch {
	case !now.exists && !r.source.config.Temporary:
		return true, errs.New(errs.Unavailable, "slot %q is gone: it was dropped; what commits until it is made anew is not captured", r.source.config.SlotName)
	case now.status == "lost":
		return true, errInvalidated(r.source.config.SlotName, now.reason)
	case r.warnOfConsumer(ctx, now.retained):
	case r.hold() && now.retained > heldBack:
		r.logger.WarnContext(ctx, "no stream is open, and the server keeps WAL for the slot: "+
			"open a stream, set on_idle to discard, or delete the source",
			"slot", r.source.config.SlotName, "retained", unit.Size(now.retained).String())
	}
	return true, nil
}
