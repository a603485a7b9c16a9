package postgres

import (
	"sync"

	"github.com/jackc/pglogrepl"
)

// positions tells how far a source may confirm: nothing is confirmed that a stream has yet to acknowledge. Methods may be
// called from any goroutine.
type positions struct {
	mu sync.Mutex
	// confirmed is the position before which everything was acknowledged, passed the one before which everything was
	// received and is either in the log or nothing to deliver. appended is the end of the newest transaction in the log, 0 if
	// there is none since reading began.
	confirmed, passed, appended pglogrepl.LSN
	// taken is the end of the last transaction that was acknowledged.
	taken pglogrepl.LSN
}

// startAt begins anew at a position that was confirmed, and returns the confirmed one.
func (p *positions) startAt(lsn pglogrepl.LSN) pglogrepl.LSN {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirmed = max(p.confirmed, lsn)
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
	p.confirmed, p.appended = max(p.confirmed, p.passed), 0
}

// acknowledge notes how far the streams have acknowledged.
func (p *positions) acknowledge(lsn pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.appended == 0 || lsn >= p.appended {
		p.taken = max(p.taken, p.appended)
		p.confirmed = max(p.confirmed, p.passed)
		return
	}
	if lsn > p.confirmed {
		p.confirmed, p.taken = lsn, lsn
	}
}

// now returns the confirmed position and the end of the last transaction that was acknowledged.
func (p *positions) now() (confirmed, taken pglogrepl.LSN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed, p.taken
}
