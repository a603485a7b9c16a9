package postgres

import (
	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/service/cdc"
)

// positions tells how far a source may confirm: nothing is confirmed that a stream has yet to take. It is used by one
// goroutine.
type positions struct {
	// waiting are the transactions in the log that were not taken by all streams, as far as is known.
	waiting []waiting
	// confirmed is the position before which everything was taken. passed is the position before which everything was
	// received and is either waiting or nothing to deliver.
	confirmed, passed pglogrepl.LSN
	// taken is the end of the last transaction that was delivered.
	taken pglogrepl.LSN
}

type waiting struct {
	index uint64
	end   pglogrepl.LSN
}

// startAt begins anew at a position that was confirmed.
func (p *positions) startAt(lsn pglogrepl.LSN) {
	p.waiting = p.waiting[:0]
	p.confirmed = max(p.confirmed, lsn)
	p.passed = p.confirmed
}

// append notes a transaction that went into the log at index.
func (p *positions) append(index uint64, end pglogrepl.LSN) {
	p.waiting = append(p.waiting, waiting{index, end})
	p.passed = max(p.passed, end)
}

// pass notes that there is nothing more to deliver before lsn.
func (p *positions) pass(lsn pglogrepl.LSN) { p.passed = max(p.passed, lsn) }

// discard notes that nobody will come for what waits.
func (p *positions) discard() {
	p.waiting = p.waiting[:0]
	p.confirmed = p.passed
}

// update notes how far the streams have got.
func (p *positions) update(now cdc.Progress) {
	n := 0
	for _, w := range p.waiting {
		if w.index >= now.Passed || now.Behind && uint64(w.end) > now.Taken {
			break
		}
		n++
		p.confirmed, p.taken = w.end, w.end
	}
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
	if len(p.waiting) == 0 {
		p.confirmed = max(p.confirmed, p.passed)
	}
}
