package sqlite

import (
	"errors"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// errExternal says what is missing.
var errExternal = errors.New("another process, or another connection, has written to the database, which is not captured")

// newsLocked takes what the hooks of a connection with a durable log have seen, says it, and returns the sequence of the gap for what
// others have committed, 0 if there is none. db.mu must be held.
func (db *DB) newsLocked() (gap uint64) {
	if db.durable.Load() == nil || db.watching == nil || !db.watching.recorder.HasNews() {
		return 0
	}
	return db.saidLocked(db.durable.Load(), db.watching.recorder.News())
}

// saidLocked tells the program's log and the sinks of news, and lets the gap be read. db.mu must be held.
func (db *DB) saidLocked(d *durable, news capture.News) (gap uint64) {
	db.othersLocked(news.Foreign)
	if news.Foreign > 0 {
		if sequence, away := d.nextAway(); away {
			news.Gap = sequence
		}
		d.logger.Warn("the database was written by another process or connection, which is not captured: streams are told; "+
			"let the app alone write it", "commits", news.Foreign, "sequence", news.Gap)
	}
	switch {
	case news.Failed == 0 && news.Err != nil:
		d.logger.Error("the log of a durable source cannot be written, and commits are refused, as on_log_full says; make room on the disk",
			"error", news.Err)
	case news.Failed > 0:
		d.logger.Error("the log of a durable source cannot be written: consumers will be told of a gap; make room on the disk",
			"transactions", news.Failed, "error", news.Err)
	}
	if news.Gap > 0 && !d.isAway() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.late = news
		d.publishLate()
	}
	return news.Gap
}

// publish lets a transaction be read that is complete, and what is in front of it.
func (d *durable) publish(end int64, sequence uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = max(d.kept, sequence)
	d.log.Publish(end, sequence)
	d.publishLate()
}

// publishLate lets the newest gap be read if all transactions in front of it are complete. d.mu must be held.
func (d *durable) publishLate() {
	if d.late.Gap > 0 && d.late.Commit <= d.kept {
		d.log.Publish(d.late.End, d.late.Sequence)
		d.late = capture.News{}
	}
}

// tellNews tells the sinks what the hooks have seen.
func (db *DB) tellNews(news capture.News) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if gap := db.saidLocked(db.durable.Load(), news); gap > 0 {
		db.loseLocked(gap, api.GapExternalWrite, errExternal)
	}
}

// LookForOthers looks whether other connections have committed, and tells the sinks. A source calls it from time to time, from any
// goroutine.
func (db *DB) LookForOthers() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.lookLocked()
}

func (db *DB) lookLocked() {
	if db.watching == nil {
		return
	}
	db.watching.recorder.LookForOthers()
	if db.durable.Load() == nil {
		db.tellOthersLocked()
		return
	}
	if gap := db.newsLocked(); gap > 0 {
		db.loseLocked(gap, api.GapExternalWrite, errExternal)
	}
}

// tellOthersLocked says without a durable log what others have committed. The writer leaves that to those who look, so that others
// that write all the time are told of once for each look. db.mu must be held.
func (db *DB) tellOthersLocked() {
	if !db.watching.recorder.HasNews() {
		return
	}
	news := db.watching.recorder.News()
	db.othersLocked(news.Foreign)
	if news.Foreign > 0 && db.logger != nil {
		db.logger.Warn("the database was written by another process or connection, which is not captured: live streams have missed it; "+
			"let the app alone write it, or give the source durable: true, which tells its streams of what they miss", "commits", news.Foreign)
	}
}

// othersLocked tells the sinks how many commits of others were found. db.mu must be held.
func (db *DB) othersLocked(commits uint32) {
	if commits == 0 {
		return
	}
	for _, a := range db.sinks {
		if a.live {
			a.sink.Others(int(commits))
		}
	}
}

// watchLocked makes the hooks look for commits of others if anything is captured. With a durable log they do so always. db.mu must be
// held.
func (s *captureSession) watchLocked() {
	switch {
	case s.durable != nil:
	case !s.active:
		s.recorder.EndSegment()
		s.db.watching = nil
	default:
		if err := s.recorder.Watch(); err != nil {
			s.db.loseLocked(0, api.GapCaptureLost, err)
			return
		}
		s.db.watching = s
	}
}

// endWatch looks for the last time for commits of others, before a connection is closed or its durable log deleted.
func (db *DB) endWatch(s *captureSession) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.watching != s {
		return
	}
	db.lookLocked()
	db.watching = nil
}

// lost tells the sinks that changes of a committed transaction could not be captured. The summary is that of the transaction, nil if
// there is none.
func (s *captureSession) lost(summary *capture.Summary, err error) {
	var sequence uint64
	cause := api.GapCaptureLost
	if errors.Is(err, capture.ErrTooLarge) {
		cause = api.GapTooLarge
	}
	if summary != nil && summary.Gap && s.durable != nil {
		sequence = summary.Sequence
		s.durable.flush(s.recorder)
		s.durable.publish(summary.End, sequence)
	} else {
		sequence = s.gapInLog(cause)
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.db.loseLocked(sequence, cause, err)
}

// gapInLog writes a gap to the durable log and returns its sequence, 0 without a log.
func (s *captureSession) gapInLog(cause api.GapCause) uint64 {
	if s.durable == nil {
		sequence, _ := s.db.durable.Load().nextAway()
		return sequence
	}
	why := capture.GapLost
	if cause == api.GapTooLarge {
		why = capture.GapTooLarge
	}
	sequence, end, _ := s.recorder.AppendSegment(capture.SegmentGap, uint32(why), 0, nil) // a sequence that is missing is a gap as well
	s.durable.publish(end, sequence)
	return sequence
}

// announce prepares the recorder for a statement that may commit without a hook, or of which changes are recorded when it has ended.
func (s *captureSession) announce(what class) {
	switch {
	case what == vacuums:
		s.vacuums, s.vacuumsMain = true, vacuumsMain(s.text)
		s.recorder.MarkSegment()
	case s.durable != nil && s.state.Idle():
		s.recorder.ExpectMore()
	}
}

// lookAtLog brings the log in step with the write-ahead log after a statement that may have moved it, and tells what the hooks have
// seen.
func (s *captureSession) lookAtLog(what class) {
	switch {
	case what == pragmas:
		s.recorder.RefreshSegment(0)
	case s.vacuums:
		s.recorder.RefreshSegment(s.vacuumCommits())
	default: // its commit has a hook
	}
	if s.durable != nil && s.recorder.HasNews() {
		s.db.tellNews(s.recorder.News())
	}
}

// besideLog calls f, which commits on a side connection and is none of the others; writer is the connection that is captured, nil if it is
// closed.
func (db *DB) besideLog(writer *conn, f func() error) error {
	switch {
	case writer == nil && db.durable.Load() != nil:
		return errors.Join(f(), db.durable.Load().left())
	case writer == nil || writer.session == nil:
		return f()
	}
	before := db.sideCommits.Load()
	writer.session.recorder.MarkSegment()
	err := f()
	writer.session.recorder.RefreshSegment(int(db.sideCommits.Load() - before))
	return err
}
