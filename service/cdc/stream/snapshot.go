package stream

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Snapshot is the rows of a source as of one position of its log, as one stream reads them. It is used by one
// goroutine.
type Snapshot interface {
	// Next reads the next row into change, as Decoder.Decode does, and sets Op, Table, Transaction and Index besides.
	// It returns io.EOF after the last row. When ctx is done the stream has ended, and what Next returns does not
	// matter.
	Next(ctx context.Context, change *api.Change) error
	// Rows tells how many rows there are, or about as many, 0 if that is not known. It is asked once, of a snapshot that takes long.
	Rows(ctx context.Context) int64
	// Transaction is what all rows have in common.
	Transaction() *api.Transaction
	// Close releases the snapshot.
	Close()
}

const (
	// A snapshot reports how far it is when it has taken so long, and again each time.
	reportInterval = 5 * time.Second
	// The clock is read once for so many rows.
	rowsPerLook = 256
)

// scan is the goroutine that reads the snapshot of a stream, ahead of the reader: it fills one batch of half the
// stream's buffer while another waits and the reader takes a third.
type scan struct {
	stream   *Stream
	snapshot Snapshot
	ctx      context.Context //nolint:containedctx // it is the life of the goroutine
	cancel   context.CancelFunc
	// rows hands over what was read; it is closed at the end, after finished was set if that is the end of the
	// snapshot.
	rows     chan []*api.Change
	finished bool
	done     chan struct{}

	released        bool
	slabs           slabs
	logger          *slog.Logger
	began, reportAt time.Time
	reports         int
	start           api.Position
	// count rows were read, of total, 0 if that is not known.
	count, total atomic.Int64
	lsn          string

	// These belong to the reader: the rows that it has yet to take, whether it has taken the last change of the
	// snapshot, and with markers whether it has taken the first.
	batch       []*api.Change
	last, begun bool
	header      *api.Transaction
}

// begin begins the snapshot of a stream that has been opened.
func (s *Stream) begin(ctx context.Context) error {
	streams := s.streams
	beginning, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(streams.closing, cancel)() //nolint:contextcheck // two lives, and the shorter counts
	snapshot, position, err := streams.settings.Engine.Snapshot(beginning, s.selection)
	if err != nil {
		return s.about("snapshot", err)
	}
	s.reader.SkipTo(position)
	streams.mu.Lock()
	defer streams.mu.Unlock()
	if streams.closing.Err() != nil {
		snapshot.Close()
		return streams.closing.Err()
	}
	now := time.Now()
	sc := &scan{
		stream: s, snapshot: snapshot, header: snapshot.Transaction(), rows: make(chan []*api.Change, 1), done: make(chan struct{}),
		logger: streams.settings.Logger, start: api.SnapshotOf(position.Sequence), began: now, reportAt: now.Add(reportInterval),
	}
	sc.ctx, sc.cancel = context.WithCancel(streams.closing)
	s.scan, s.start = sc, sc.start
	s.scanning.Store(sc)
	streams.scans.Go(sc.run)
	if err := s.reader.Err(); err != nil { // it ended before there was anything to cancel
		sc.cancel()
		return err
	}
	return nil
}

// run reads the snapshot to its end.
func (sc *scan) run() {
	defer close(sc.done)
	defer sc.cancel()
	err := sc.read()
	sc.release()
	if sc.finished = err == nil; !sc.finished && sc.ctx.Err() == nil {
		sc.stream.reader.End(api.EndLost, sc.stream.about("read the snapshot", err))
	}
	close(sc.rows)
	sc.stream.reader.Notify()
}

// read moves all rows to the reader. It is one row ahead, because only then is it known which one is the last.
func (sc *scan) read() error {
	size := max(1, sc.stream.opts.Buffer/2)
	batch := make([]*api.Change, 0, size)
	for {
		c := sc.slabs.change()
		err := sc.snapshot.Next(sc.ctx, c)
		if err == nil {
			sc.slabs.keep(c)
			sc.counted(c)
		}
		end := errors.Is(err, io.EOF)
		if end {
			sc.release()
			if len(batch) > 0 {
				batch[len(batch)-1].Last = !sc.stream.opts.Markers
			}
		}
		if len(batch) == size || end && len(batch) > 0 {
			if !sc.hand(batch) {
				return sc.ctx.Err()
			}
			batch = make([]*api.Change, 0, size)
		}
		switch {
		case end:
			sc.complete()
			return nil
		case err != nil:
			return err
		}
		batch = append(batch, c)
	}
}

// release lets go of the snapshot. It is idempotent.
func (sc *scan) release() {
	if !sc.released {
		sc.released = true
		sc.snapshot.Close()
		sc.stream.streams.admission.scanned(&sc.stream.place)
	}
}

// hand gives rows to the reader, as soon as it has taken those before.
func (sc *scan) hand(batch []*api.Change) bool {
	select {
	case sc.rows <- batch:
		sc.stream.reader.Notify()
		return true
	case <-sc.ctx.Done():
		return false
	}
}

// stop ends the goroutine and waits for it.
func (sc *scan) stop() {
	sc.cancel()
	<-sc.done
}

// counted notes that a row was read.
func (sc *scan) counted(c *api.Change) {
	sc.stream.streams.settings.Counters.snapshotRows.Add(1)
	count := sc.count.Add(1)
	if count == 1 {
		sc.lsn = c.Transaction.LSN
	}
	if count%rowsPerLook != 0 {
		return
	}
	now := time.Now()
	if now.Before(sc.reportAt) {
		return
	}
	if sc.reports == 0 {
		sc.total.Store(max(0, sc.snapshot.Rows(sc.ctx)))
	}
	sc.reports++
	sc.reportAt = now.Add(reportInterval)
	report := sc.summary().With("table", c.Table.Name)
	if total := sc.total.Load(); total > count {
		left := time.Duration(float64(now.Sub(sc.began)) * float64(total-count) / float64(count))
		report = report.With("of", total, "left", left.Round(time.Second))
	}
	report.Info("snapshot in progress")
}

func (sc *scan) complete() {
	if time.Since(sc.began) >= reportInterval {
		sc.summary().Info("snapshot complete")
	}
}

func (sc *scan) summary() *slog.Logger {
	count := sc.count.Load()
	return sc.logger.With("rows", count, "rows_per_second", int(float64(count)/time.Since(sc.began).Seconds()), "lsn", sc.lsn)
}

// fromSnapshot returns the next row of the snapshot, nil if there is none yet, or none any more: then s.scan is nil.
// s.mu must be held.
func (s *Stream) fromSnapshot() (*api.Change, error) {
	sc := s.scan
	if s.opts.Markers && !sc.begun {
		sc.begun = true
		return &api.Change{Op: api.OpBegin, Transaction: sc.header}, nil
	}
	if len(sc.batch) == 0 {
		select {
		case batch, more := <-sc.rows:
			if !more {
				return s.afterSnapshot()
			}
			sc.batch = batch
		default:
			return nil, nil //nolint:nilnil // Poll says so
		}
	}
	c := sc.batch[0]
	sc.batch[0] = nil
	sc.batch = sc.batch[1:]
	sc.last = c.Last
	return c, nil
}

// afterSnapshot returns what marks the end of the snapshot, and then goes on with the log: s.scan is nil. The error
// says why the snapshot has not come to its end. s.mu must be held.
func (s *Stream) afterSnapshot() (*api.Change, error) {
	sc := s.scan
	if !sc.finished {
		return nil, s.reader.Fail(s.about("read the snapshot", context.Cause(sc.ctx)))
	}
	if s.opts.Markers && !sc.last {
		sc.last = true
		return &api.Change{Op: api.OpEnd, Transaction: sc.header, Index: int(sc.count.Load()) + 1, Last: true}, nil
	}
	s.acknowledge()
	s.scan = nil
	s.scanning.Store(nil)
	return nil, nil //nolint:nilnil // as documented
}

// acknowledge is called when the reader has come back or closes the stream: if it was handed the whole snapshot that is
// delivered. With ManualAck the reader says so itself, unless there was nothing to hand over. s.mu must be held.
func (s *Stream) acknowledge() {
	sc := s.scan
	empty := sc.finished && sc.count.Load() == 0 && !s.opts.Markers
	if s.delivered != nil && (empty || sc.last && !s.opts.ManualAck) {
		s.delivered()
	}
}

// about says what failed, unless the error says so itself.
func (s *Stream) about(step string, err error) error {
	kind := errs.KindOf(err)
	if kind == errs.Unknown {
		kind = errs.Unavailable
	}
	return errs.New(kind, "cdc: source %q: %s: %w", s.streams.settings.Source, step, err)
}
