package postgres

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

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
	// unnoted is set while the checkpoint does not know of it.
	unnoted atomic.Bool

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
	info.Generation = r.origin.generation
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

// discards reports whether the source reads on while nobody listens. A temporary slot goes with its connection, on which
// the server starts sending only once: there is no way to hold.
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
	r.tick(ctx)
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
			r.tick(ctx)
		}
	}
	return nil
}

func (r *run) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := pglogrepl.IdentifySystem(ctx, r.conn)
	return classify(ctx, err)
}

// reconnect opens the replication connection if there is none.
func (r *run) reconnect(ctx context.Context) error {
	if r.conn != nil {
		return nil
	}
	conn, err := r.endpoint.replication(ctx)
	r.conn = conn
	return err
}

// tick does what is due each status_interval: it saves the checkpoint and looks at the slot. It reports whether the server
// has answered.
func (r *run) tick(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r.save(ctx)
	size, err := r.measureSlot(ctx)
	if err != nil {
		r.retained.Store(-1)
		return false // if the server is gone, the connection for replication will say so
	}
	r.retained.Store(size)
	if r.hold() && size > int64(16*unit.MiB) {
		r.source.logger().WarnContext(ctx, "no stream is open, and the server keeps WAL for the slot: "+
			"open a stream, set on_idle to discard, or delete the source",
			"slot", r.source.config.SlotName, "retained", unit.Size(size).String())
	}
	return true
}

// save writes the checkpoint. The source goes on if that fails.
func (r *run) save(ctx context.Context) {
	r.mu.Lock()
	wait := r.bootstraps && !r.bootstrapped
	lsn := r.positions.taken
	if r.bootstraps && r.bootstrapped {
		lsn = max(lsn, 1) // the row itself says that the snapshot was delivered
	}
	r.mu.Unlock()
	if wait || lsn == 0 || r.source.config.Temporary {
		return
	}
	err := r.checkpoint.save(ctx, lsn)
	if err != nil {
		r.unsavedBecause(ctx, err)
		return
	}
	r.unsaved.Store(nil)
}

// unsavedBecause notes why there is no checkpoint, and says so once.
func (r *run) unsavedBecause(ctx context.Context, err error) {
	if r.unsaved.Swap(&err) == nil {
		r.source.logger().WarnContext(ctx, "the checkpoint cannot be used", "error", err)
	}
}

// measureSlot returns how much WAL the slot makes the server keep.
func (r *run) measureSlot(ctx context.Context) (int64, error) {
	var size int64
	err := r.db.QueryRowContext(ctx, `
		SELECT coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
			restart_lsn), 0)::bigint FROM pg_replication_slots WHERE slot_name = $1`, r.source.config.SlotName).Scan(&size)
	return size, err
}
