package log

import (
	"math"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Unread is what a reader has left unread.
type Unread struct {
	// Transactions are those of which something was not handed over, with so many changes in them. More says that there are more,
	// which were not counted.
	Transactions, Changes int
	More                  bool
	// Ended is why the reader had to end, "" if it had not.
	Ended api.EndReason
}

// Unread counts what was appended and not handed over, up to so many changes, without acknowledging it. The reader must be closed after
// it.
func (r *Reader) Unread(most int) (u Unread) {
	r.stay()
	r.log.rouse(r)
	counted := false // the transaction that is being read
	for {
		if r.record.size == 0 {
			record, err := r.Next()
			if err != nil || record == nil && r.isParked() {
				break
			}
			counted = false
			continue
		}
		entry, err := r.record.Next()
		if err != nil {
			if r.ended() != nil && r.over.Load() {
				break
			}
			r.finish()
			counted = false
			continue
		}
		if entry == nil {
			continue
		}
		if u.Changes == most {
			u.More = true
			break
		}
		if !counted {
			u.Transactions++
			counted = true
		}
		u.Changes++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		u.Ended = r.end.reason
	}
	return u
}

// stay makes what is acknowledged by now all that is.
func (r *Reader) stay() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.manual {
		r.manual, r.acked, r.handed = true, api.Behind(r.place.before), api.Position{Sequence: math.MaxUint64}
	}
}

// rouse wakes a reader for which there is something in a list that is being called.
func (l *Log) rouse(r *Reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.isParked() {
		return
	}
	if s, at := l.newsFor(r, nil, l.end); s != nil {
		l.wake(r, s, at)
	}
}
