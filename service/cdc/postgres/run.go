package postgres

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// run is one run of a source. It is the cdc.Source that the catalog knows while the source runs. The fields without a
// lock belong to the goroutine that serves the source.
type run struct {
	*cdc.Log
	source   *Source
	origin   origin
	endpoint *endpoint
	server   server
	system   system
	// db is for everything but replication.
	db *sql.DB
	// conn is the replication connection, nil while there is none.
	conn       *pgconn.PgConn
	alarm      alarm
	positions  positions
	checkpoint checkpoint
	// watch tells for whom the slot is read: for those that listen while Progress.Watch is this.
	watch uint64

	// bootstraps is whether streams begin with a snapshot by default, until one was delivered in full.
	bootstraps bool
	// bootstrapped is set when one was delivered; it is guarded by mu.
	bootstrapped bool
	mu           sync.Mutex
	// noted says that the checkpoint knows of it; unnoted is set when it is to be told soon.
	noted   bool
	unnoted atomic.Bool
	// tables are those of the source's own publication, as they are quoted; nil if it is somebody else's.
	tables []string
	// refusing are the warnings about tables that writers cannot update.
	refusing string

	// woken receives a value when a stream was opened or closed, or a snapshot delivered.
	woken chan struct{}
	// newest is the end of the newest transaction received, retained how much WAL the slot keeps, or -1 if that is not
	// known.
	newest   atomic.Uint64
	retained atomic.Int64
	// unsaved is why the checkpoint could not be written the last time.
	unsaved atomic.Pointer[error]
}

var _ cdc.Source = (*run)(nil)

// stream is a stream whose end the source hears of.
type stream struct {
	api.Stream
	closed func()
}

// Close implements api.Stream.
func (s *stream) Close() {
	s.Stream.Close()
	s.closed()
}

// wake makes the source look whether streams are open.
func (r *run) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
	r.alarm.ring()
}

// Describe implements cdc.Source.
func (r *run) Describe(info *api.SourceInfo) {
	r.Log.Describe(info)
	info.Generation, info.Streaming = r.origin.generation, r.source.streaming()
	if lsn := r.newest.Load(); lsn > 0 {
		info.LSN = pglogrepl.LSN(lsn).String()
	}
	if err := r.unsaved.Load(); err != nil {
		info.CheckpointErr = *err
	}
}

// Measure implements cdc.Source.
func (r *run) Measure(stats *api.Stats) {
	r.Log.Measure(stats)
	if size := r.retained.Load(); size >= 0 {
		stats.RetainedWALBytes = &size
	}
}

// close lets go of the server. It is idempotent.
func (r *run) close(ctx context.Context) {
	hangUp(ctx, r.conn)
	r.conn = nil
	_ = r.db.Close() // there is nobody to tell
}

// hold reports whether the source must not read now.
func (r *run) hold() bool { return !r.discards() && !r.Watched() }

// discards reports whether the source reads on while nobody listens. A temporary slot goes with its connection, on
// which the server starts sending only once: there is no way to hold.
func (r *run) discards() bool {
	return r.source.config.OnIdle == "discard" || r.source.config.Temporary
}

// advance notes what was taken by now.
func (r *run) advance() {
	now := r.Progress()
	switch {
	case r.discards() && now.Streams == 0:
		r.positions.discard()
	case !r.discards() && now.Watch != r.watch:
		r.positions.update(r.Parting()) // those who listen now are not those that it was read for
	default:
		r.positions.update(now)
	}
}

// serve reads the slot, as long as somebody listens if it is to hold otherwise.
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
			if r.unnoted.Swap(false) {
				r.save(ctx)
			}
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

// tick does what is due each status_interval: it saves the checkpoint, and looks at slot and publication. It reports
// whether the server has answered; an error says that reading on is of no use.
func (r *run) tick(ctx context.Context) (answered bool, err error) {
	r.save(ctx)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if answered, err = r.checkSlot(ctx); err != nil || !answered {
		return answered, err
	}
	if err := r.checkShape(ctx); err != nil {
		return true, err
	}
	if err := r.checkPromotion(ctx); err != nil {
		return true, err
	}
	_ = r.warnOfRefusals(ctx) // it is looked at again
	return true, r.checkPublication(ctx)
}

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
	switch {
	case !now.exists && !r.source.config.Temporary:
		return true, errs.New(errs.Unavailable, "slot %q is gone: somebody has dropped it; what commits until it is made anew is not captured", r.source.config.SlotName)
	case now.status == "lost":
		return true, errInvalidated(r.source.config.SlotName, now.reason)
	case r.hold() && now.retained > int64(16*unit.MiB):
		r.source.logger().WarnContext(ctx, "no stream is open, and the server keeps WAL for the slot: "+
			"open a stream, set on_idle to discard, or delete the source",
			"slot", r.source.config.SlotName, "retained", unit.Size(now.retained).String())
	}
	return true, nil
}

// save writes the checkpoint. The source goes on if that fails, and does not wait for it for long.
func (r *run) save(ctx context.Context) {
	if r.source.config.Temporary {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	r.mu.Lock()
	note := r.bootstraps && r.bootstrapped && !r.noted
	r.mu.Unlock()
	err := r.checkpoint.save(ctx, r.positions.taken)
	if err == nil && note {
		err = r.checkpoint.bootstrap(ctx)
		r.noted = err == nil
	}
	if err != nil {
		r.unsavedBecause(ctx, err)
		return
	}
	if r.unsaved.Swap(nil) != nil {
		r.source.logger().InfoContext(ctx, "the checkpoint is written again")
	}
}

// unsavedBecause notes why there is no checkpoint, counts it, and says so once.
func (r *run) unsavedBecause(ctx context.Context, err error) {
	r.origin.counters.CheckpointFailure()
	if r.unsaved.Swap(&err) == nil {
		r.source.logger().WarnContext(ctx, "the checkpoint cannot be used", "error", err)
	}
}
