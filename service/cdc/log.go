package cdc

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// LogSettings says what a Log is for and what bounds it.
type LogSettings struct {
	// Source is the entry whose transactions the log holds.
	Source registry.ID
	// Tables are those that the source captures; empty means all.
	Tables []string
	// Bytes bounds the log: the transactions behind the oldest one are never more than this.
	Bytes unit.Size
	// Subscriptions bounds the streams.
	Subscriptions api.SubscriptionsConfig
	// Counters are those of the source; nil means that nobody reads them.
	Counters *Counters
	// Logger is told of snapshots that take long; nil means that nobody is.
	Logger *slog.Logger
}

// Log is the sequence of transactions that one run of a source has committed, as far as streams have yet to read
// them. Append is for one goroutine at a time, all other methods may be called from any.
type Log struct {
	settings  LogSettings
	admission *admission
	streams   atomic.Int32 // len(cursors), for Watched
	barred    atomic.Bool  // set by Bar
	alarm     chan struct{}
	stop      chan struct{}
	// goroutines counts the keeper and those of the streams. Streams join it under mu while closed is nil.
	goroutines sync.WaitGroup

	// mu is held for a moment only: the writer takes it. No other lock is taken while it is held.
	mu   sync.Mutex
	ring ring
	// total is the number of bytes ever appended, dropped the part of it that the log no longer holds.
	total, dropped int64
	// patrolAt is the total at which the keeper has to look after the streams.
	patrolAt int64
	cursors  []*cursor
	groups   []*group
	// busy counts the cursors that neither wait nor doze, dozing those that do.
	busy, dozing int
	// closed is why the log is closed, nil while it is open.
	closed error
	// parting is what Parting returns, watch what Progress tells; written says that something was appended since watch
	// changed.
	parting Progress
	watch   uint64
	written bool
}

// NewLog returns an empty log, which must be closed.
func NewLog(settings LogSettings) *Log {
	if settings.Counters == nil {
		settings.Counters = NewCounters()
	}
	if settings.Logger == nil {
		settings.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		settings:  settings,
		admission: newAdmission(settings.Source, settings.Subscriptions),
		alarm:     make(chan struct{}, 1),
		stop:      make(chan struct{}),
	}
	l.goroutines.Go(l.keep)
	return l
}

// Watched reports whether there is a stream. A transaction that commits while there is none need not be appended.
func (l *Log) Watched() bool { return l.streams.Load() > 0 }

// Append adds a committed transaction. It does not wait for streams and does not fail; what it does is the same
// however many streams there are. If the bound is exceeded the oldest transactions leave, and streams that have
// not read them end. Without streams nothing is kept. Append returns the index of the transaction, and whether it was
// kept.
func (l *Log) Append(tx Transaction) (index uint64, kept bool) { return l.append(tx, nil) }

// AppendDuring is Append, but keeps nothing if the log has ceased to be watched since Progress told that Watch was watch.
func (l *Log) AppendDuring(watch uint64, tx Transaction) (index uint64, kept bool) {
	return l.append(tx, &watch)
}

func (l *Log) append(tx Transaction, watch *uint64) (index uint64, kept bool) {
	size := tx.Size()
	l.mu.Lock()
	if len(l.cursors) == 0 || watch != nil && *watch != l.watch {
		l.mu.Unlock()
		return 0, false
	}
	l.written = true
	l.total += size
	index = l.ring.next
	l.ring.push(slot{tx: tx, size: size, end: l.total})
	for l.total-l.ring.at(l.ring.first).end > int64(l.settings.Bytes) {
		l.pop()
	}
	glanced, _ := tx.(Glanced)
	signal, passed := l.whom(glanced)
	l.mu.Unlock()
	l.settings.Counters.transactions.Add(1)
	notify(signal)
	if passed {
		glanced.Passed()
	}
	return index, true
}

// whom returns the channel that makes somebody see to a new transaction: the only stream if it waits, the keeper if
// some of several wait, nil if none waits. If those that wait were moved past it instead, passed is true. l.mu must be held.
func (l *Log) whom(glanced Glanced) (signal chan struct{}, passed bool) {
	switch {
	case l.total >= l.patrolAt:
		return l.alarm, false
	case l.busy+l.dozing == len(l.cursors):
		return nil, false
	case glanced != nil && l.pass(glanced):
		if l.dozing == 0 {
			l.sweep()
		}
		return nil, true
	case len(l.cursors) > 1:
		return l.alarm, false
	}
	only := l.cursors[0]
	clear(l.call(only.group, only.group.waiting[:0]))
	return only.wake, false
}

// Lose ends every stream with an error, after it has delivered the transactions appended before: changes that
// were committed could not be captured, and err says why. It reports whether there was a stream.
func (l *Log) Lose(err error) (told bool) {
	_, told = l.Append(gap{errs.New(errs.Unavailable, "cdc: source %q: changes were lost: %w; resubscribe", l.settings.Source, err)})
	return told
}

// Admission tells how much of the limits is in use.
func (l *Log) Admission() api.Admission { return l.admission.snapshot() }

// Describe sets what the log knows of its source.
func (l *Log) Describe(info *api.SourceInfo) { info.Admission = l.Admission() }

// Held returns how many transactions the log holds, and their size.
func (l *Log) Held() (transactions int, size unit.Size) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ring.len(), unit.Size(l.total - l.dropped)
}

// Subscribe opens a stream, which delivers what is appended from now on, without a snapshot. Its errors are those of api.Streamer.
func (l *Log) Subscribe(opts api.StreamOptions) (api.Stream, error) {
	s, err := l.admit(opts, false)
	if err != nil {
		return nil, err
	}
	if err := l.join(&s.cursor, s.selection); err != nil {
		l.admission.leave(&s.ticket)
		return nil, err
	}
	s.start(nil)
	return s, nil
}

// admit returns a stream that has yet to join the log.
func (l *Log) admit(opts api.StreamOptions, snapshot bool) (*Stream, error) {
	opts, err := resolve(l.settings.Source, opts, l.settings.Bytes, l.settings.Tables)
	if err != nil {
		return nil, err
	}
	s := newStream(l, opts)
	s.ticket, err = l.admission.admit(opts.MaxBytes, snapshot)
	return s, err
}

// resolve completes the options of a stream on a source, or says what the source does not accept.
func resolve(id registry.ID, opts api.StreamOptions, logBytes unit.Size, tables []string) (api.StreamOptions, error) {
	opts, err := opts.Resolved(logBytes)
	if err == nil {
		err = checkTables(tables, opts.Tables)
	}
	if err != nil {
		return opts, errs.New(errs.Invalid, "cdc: source %q: %w", id, err)
	}
	return opts, nil
}

// Bar makes streams hand over nothing any more: what they have decoded will come again from a source that goes on where
// its readers were. Close must follow.
func (l *Log) Bar() { l.barred.Store(true) }

// Close ends all streams with cause at once, and waits for their goroutines and the log's own. What they have
// decoded before may still be read, unless Bar was called. Afterwards Append does nothing and Subscribe returns cause.
// It is idempotent.
func (l *Log) Close(cause error) {
	l.mu.Lock()
	first := l.closed == nil
	if first {
		l.closed = cause
	}
	cursors := l.cursors
	l.setCursors(nil)
	l.groups, l.busy, l.dozing = nil, 0, 0
	l.sweep()
	l.mu.Unlock()
	if first {
		close(l.stop)
	}
	for _, c := range cursors {
		c.owner.end(&ending{api.EndSource, cause})
	}
	l.goroutines.Wait()
}

// cause returns why the log is closed, nil while it is open.
func (l *Log) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// notify makes a receive from signal possible, if it is not yet. A nil signal is ignored.
func notify(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}
