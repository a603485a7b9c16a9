package source

import (
	"context"
	"sync"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// absences are the readers whose streams were abandoned, by owner, until they come back. Methods may be called from any goroutine.
type absences struct {
	mu    sync.Mutex
	since map[string]absence
}

// absence is where a reader has left the changes of a source.
type absence struct {
	// unread are the transactions that it has left unread.
	unread uint64
	// newest is the position of the newest transaction then, in that generation, and appended how many the log had got.
	newest     api.Position
	generation string
	appended   uint64
}

// begin notes where a reader has left. If it had several streams the one with most unread counts.
func (a *absences) begin(owner string, at absence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since == nil {
		a.since = make(map[string]absence)
	}
	if other, known := a.since[owner]; !known || at.unread > other.unread {
		a.since[owner] = at
	}
}

// end returns where a reader has left that has come back.
func (a *absences) end(owner string) (at absence, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, known = a.since[owner]
	delete(a.since, owner)
	return at, known
}

// cure is what keeps a reader from missing something.
const cure = "give it a consumer, for which SQLite sources need durable: true, or a snapshot to begin with"

// left tells of what a stream has left unread whose reader has ended, unless the next stream gets it.
func (r *Run) left(opts api.StreamOptions, unread stream.Unread) {
	if r.session.Resumes() && r.streams.Admission().Active == 0 {
		return
	}
	ctx := context.Background() // the reader's has ended
	logger := r.logger.With("reader", opts.Reader)
	switch {
	case unread.Ended == api.EndLag || unread.Ended == api.EndLost:
		logger.WarnContext(ctx, "a stream had ended, and its reader ended before it was told why: "+cure, "ended", unread.Ended)
	case unread.Changes > 0:
		logger.WarnContext(ctx, "a stream was closed with changes unread, because its reader has ended: "+cure,
			"transactions", unread.Transactions, "changes", unread.Changes, "more", unread.More)
	}
	if opts.Owner != "" {
		r.record.absent.begin(opts.Owner, absence{
			unread: uint64(unread.Transactions), newest: r.session.Newest(), //nolint:gosec // a number of transactions
			generation: r.position().Generation, appended: r.appended(),
		})
	}
}

// appended returns how many transactions the log has got, over all runs.
func (r *Run) appended() uint64 {
	var stats api.Stats
	r.record.counters.Fill(&stats)
	return stats.Transactions
}

// back tells what the reader of a stream has missed that begins with what commits from now on: what it has left unread, and what has
// committed while it was away.
func (r *Run) back(ctx context.Context, opts api.StreamOptions) {
	if opts.Owner == "" {
		return
	}
	since, known := r.record.absent.end(opts.Owner)
	if !known {
		return
	}
	behind, more := int64(r.appended()-since.appended), true //nolint:gosec // a number of transactions
	if since.generation == r.position().Generation {
		if _, n := r.session.Lag(since.newest); n >= 0 {
			behind, more = n, false
		}
	}
	if missed := since.unread + uint64(behind); missed > 0 { //nolint:gosec // it is not negative
		r.logger.WarnContext(ctx, "a reader has started again, and its stream begins behind what has committed meanwhile: "+cure,
			"reader", opts.Reader, "transactions", missed, "more", more)
	}
}
