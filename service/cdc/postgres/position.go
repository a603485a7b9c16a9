package postgres

import (
	"cmp"
	"math"
	"sync"

	"github.com/jackc/pglogrepl"
)

// unlimited is a position behind all others.
const unlimited = pglogrepl.LSN(math.MaxUint64)

// positions tells how far a source may confirm: nothing is confirmed that a stream or a consumer has yet to
// acknowledge. Methods may be called from any goroutine.
type positions struct {
	mu sync.Mutex
	// confirmed is the position before which everything was acknowledged, passed the one before which everything was
	// received and is either in the log or nothing to deliver. appended is the end of the newest transaction in the
	// log, 0 if there is none since reading began, skipped that of the newest one that no stream is given.
	confirmed, passed, appended, skipped pglogrepl.LSN
	// taken is the end of the last transaction that was acknowledged or skipped: there is none between it and
	// confirmed. noted is what the checkpoint says of it, and safe what was confirmed then.
	taken, noted, safe pglogrepl.LSN
	// unnoted says that there is no checkpoint, or that it cannot be kept.
	unnoted bool
}

// begin sets what is known of earlier runs: noted is 0 without a checkpoint, and then it is not known which transaction
// was the last.
func (p *positions) begin(confirmed, noted pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed, p.passed, p.safe = confirmed, confirmed, confirmed
	p.taken, p.noted = cmp.Or(noted, confirmed), noted
}

// again begins anew at what is confirmed, and returns that.
func (p *positions) again() pglogrepl.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed, p.appended = p.confirmed, 0
	return p.confirmed
}

// append notes a transaction that went into the log.
func (p *positions) append(end pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appended = end
	p.passed = max(p.passed, end)
}

// skip notes a transaction that no stream is given.
func (p *positions) skip(end pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skipped = max(p.skipped, end)
	p.passed = max(p.passed, end)
}

// pass notes that there is nothing more to deliver before lsn.
func (p *positions) pass(lsn pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = max(p.passed, lsn)
}

// discard notes that no stream will read what is in the log.
func (p *positions) discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed = max(p.confirmed, p.passed)
	p.taken = max(p.taken, p.appended, p.skipped)
	p.appended = 0
}

// acknowledge notes how far the streams have acknowledged; consumers that are away need what lies behind floor.
func (p *positions) acknowledge(lsn, floor pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.passed
	if p.appended != 0 && lsn < p.appended {
		limit = lsn
	}
	if floor >= max(p.appended, p.skipped, p.taken) { // no transaction is outstanding
		floor = unlimited
	}
	if limit = min(limit, floor); limit < p.confirmed {
		return
	}
	p.confirmed = limit
	if newest := max(p.appended, p.skipped); limit >= newest {
		p.taken = max(p.taken, newest)
	} else {
		p.taken = max(p.taken, limit)
	}
}

// now returns the confirmed position and the end of the last transaction that was acknowledged.
func (p *positions) now() (confirmed, taken pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed, p.taken
}

// received returns the position before which everything was received.
func (p *positions) received() pglogrepl.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// note says that the checkpoint has what now has returned.
func (p *positions) note(confirmed, taken pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unnoted, p.noted, p.safe = false, max(p.noted, taken), max(p.safe, confirmed)
}

// forgo says that there is no checkpoint that could be kept, so that confirming does not wait for it.
func (p *positions) forgo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unnoted = true
}

// confirmable returns what the server may be told to forget: the checkpoint has to say first which transaction was the
// last, so that a stream that begins behind a position learns whether one is missing. It is false if more could be
// confirmed once the checkpoint was written.
func (p *positions) confirmable() (lsn pglogrepl.LSN, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unnoted || p.taken <= p.noted {
		p.safe = max(p.safe, p.confirmed) // what was confirmed once must not be taken back
		return p.confirmed, true
	}
	return p.safe, false
}
