package source_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

var sourceID = registry.ID{Namespace: "app", Name: "cdc"}

// shape is the table of the engine of these tests.
type shape struct{ table sqlapi.Table }

func (s *shape) Table() *sqlapi.Table { return &s.table }

var users = &shape{sqlapi.Table{Schema: "main", Name: "users", Columns: []sqlapi.Column{{Name: "id"}}, Key: []int{0}}}

// engine opens sessions that do what a test says.
type engine struct {
	mu     sync.Mutex
	info   api.SourceInfo
	limits source.Limits
	// opening replaces Open if it is not nil, and prepared is called with each session before it is used.
	opening  func(ctx context.Context) error
	prepared func(s *session)
	// wrapped returns what Open returns, nil for the session itself.
	wrapped  func(s *session) source.Session
	sessions []*session
}

// newEngine returns the engine of a source of that name, which looks after itself once in an hour.
func newEngine(name string) *engine {
	return &engine{
		info: api.SourceInfo{
			ID: registry.ID{Namespace: "app", Name: name}, Kind: api.KindSQLite, Engine: "sqlite", Tables: []string{"users"},
			Capabilities: api.Capabilities{Snapshot: true},
		},
		limits: source.Limits{Limits: stream.Limits{LogBytes: unit.MiB}, StatusInterval: time.Hour},
	}
}

func (e *engine) Info() api.SourceInfo { return e.info }

func (e *engine) Limits() source.Limits { return e.limits }

func (e *engine) Open(ctx context.Context, run *source.Run) (source.Session, error) {
	if e.opening != nil {
		if err := e.opening(ctx); err != nil {
			return nil, err
		}
	}
	s := &session{run: run, failing: make(chan error, 1), tables: []string{"main.users"}}
	if e.prepared != nil {
		e.prepared(s)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sessions = append(e.sessions, s)
	if e.wrapped != nil {
		return e.wrapped(s), nil
	}
	return s, nil
}

// session returns that of the latest run.
func (e *engine) session() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[len(e.sessions)-1]
}

// session is a run of the engine. What a test sets before the run begins is not changed afterwards.
type session struct {
	run      *source.Run
	saved    source.Checkpoint
	unloaded error
	resumes  bool
	// capturing is called before the session is ready, and checking by Check; nil if nothing is to happen then.
	capturing func(ctx context.Context) error
	checking  func(ctx context.Context) error
	// saving decides what becomes of a checkpoint; nil keeps it.
	saving func(ctx context.Context, c source.Checkpoint) error
	// rows are those of a snapshot.
	rows []int64
	// tables are what ListTables returns, untold why it cannot.
	tables []string
	untold error

	// failing makes Capture return what it receives; cause is why the context of Capture has ended.
	failing chan error
	cause   error
	streams *stream.Streams
	// store is where consumers are kept, nil if there are none.
	store consumer.Store
	// sequence is that of the newest transaction.
	sequence atomic.Uint64
	closed   atomic.Bool

	mu     sync.Mutex
	saves  []source.Checkpoint
	missed []error
}

func (s *session) Saved() (source.Checkpoint, error) { return s.saved, s.unloaded }

func (s *session) Capture(ctx context.Context, streams *stream.Streams, ready func()) error {
	s.streams = streams
	if s.capturing != nil {
		if err := s.capturing(ctx); err != nil {
			return err
		}
	}
	ready()
	defer func() { s.cause = context.Cause(ctx) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.failing:
		return err
	}
}

func (s *session) Missed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.missed) == 0 {
		return nil
	}
	next := s.missed[0]
	s.missed = s.missed[1:]
	return next
}

func (s *session) ListTables(context.Context) ([]string, error) { return s.tables, s.untold }

func (s *session) Check(ctx context.Context) error {
	if s.checking == nil {
		return nil
	}
	return s.checking(ctx)
}

func (s *session) Save(ctx context.Context, c source.Checkpoint) error {
	if s.saving != nil {
		if err := s.saving(ctx, c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves = append(s.saves, c)
	return nil
}

// kept returns the checkpoints that were written.
func (s *session) kept() []source.Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.saves)
}

func (s *session) Consumers() (consumer.Store, error) {
	if s.store == nil {
		return nil, errs.New(errs.Invalid, "nothing is kept")
	}
	return s.store, nil
}

func (s *session) Newest() api.Position { return api.Behind(s.sequence.Load()) }

func (s *session) Latest() api.Position { return s.Newest() }

func (s *session) Ahead(p api.Position) bool { return p.Sequence > s.sequence.Load() }

func (s *session) Lag(p api.Position) (bytes, transactions int64) {
	return -1, int64(s.sequence.Load() - p.Sequence)
}

func (s *session) Resumes() bool { return s.resumes }

func (s *session) Describe(info *api.SourceInfo) { info.LSN = "42" }

func (s *session) Measure(stats *api.Stats) {
	size := int64(7)
	stats.WALBytes = &size
}

func (s *session) Close(context.Context) { s.closed.Store(true) }

func (s *session) Changed() {}

func (s *session) Void(_, _ []byte) bool { return false }

func (s *session) NewDecoder() stream.Decoder { return &decoder{generation: s.run.Generation()} }

func (s *session) Snapshot(context.Context, *stream.Selection) (stream.Snapshot, api.Position, error) {
	sequence := s.sequence.Load()
	return &snapshot{rows: s.rows, sequence: sequence}, api.Behind(sequence), nil
}

// commit appends a transaction that inserts values into users.
func (s *session) commit(values ...int64) {
	tx := &log.Transaction{Sequence: s.sequence.Add(1), Touched: []log.Touched{{ID: 1, Shape: users, Codes: 1 << log.Insert}}}
	for _, value := range values {
		tx.Counts[log.Insert]++
		tx.Entries = binary.LittleEndian.AppendUint32(tx.Entries, log.EntryHeader+8)
		tx.Entries = append(tx.Entries, byte(log.Insert), 0, 0, 0)
		tx.Entries = binary.LittleEndian.AppendUint32(tx.Entries, 1)
		tx.Entries = binary.LittleEndian.AppendUint64(tx.Entries, uint64(value))
	}
	s.streams.Append(tx)
}

type decoder struct {
	generation string
	header     *api.Transaction
}

func (d *decoder) Begin(record *log.Record) {
	d.header = &api.Transaction{Source: sourceID, Generation: d.generation, Sequence: record.Sequence}
}

func (d *decoder) Decode(entry *log.Entry, c *api.Change) error {
	c.Transaction, c.Before = d.header, nil
	c.After = append(c.After, sqlapi.IntegerValue(int64(binary.LittleEndian.Uint64(entry.Bytes[log.EntryHeader:]))))
	return nil
}

// snapshot returns rows of users.
type snapshot struct {
	rows     []int64
	sequence uint64
}

func (s *snapshot) Next(_ context.Context, c *api.Change) error {
	if len(s.rows) == 0 {
		return io.EOF
	}
	c.Op, c.Table, c.Transaction = api.OpSnapshot, &users.table, &api.Transaction{Source: sourceID, Sequence: s.sequence}
	c.After = append(c.After, sqlapi.IntegerValue(s.rows[0]))
	s.rows = s.rows[1:]
	return nil
}

func (s *snapshot) Rows(context.Context) int64 { return int64(len(s.rows)) }

func (s *snapshot) Transaction() *api.Transaction {
	return &api.Transaction{Source: sourceID, Sequence: s.sequence}
}

func (s *snapshot) Close() {}

// house is what a source lives in.
type house struct {
	t *testing.T
	*engine
	catalog *source.Catalog
	source  *source.Source
	said    *messages
}

// newHouse declares a source.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, engine: newEngine("cdc"), catalog: source.NewCatalog(), said: new(messages)}
	h.catalog.Declare(h.engine)
	h.source = source.New(h.engine, h.catalog, slog.New(slog.NewTextHandler(h.said, nil)))
	return h
}

// messages is what was logged.
type messages struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(p)
}

// count returns how often a text was logged.
func (m *messages) count(text string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Count(m.text.String(), text)
}

// served is a source that is being served.
type served struct {
	cancel context.CancelFunc
	ready  chan struct{}
	ended  chan error
}

// stop stops the source and returns what Serve returns.
func (s *served) stop() error {
	s.cancel()
	return <-s.ended
}

// begin serves the source, and does not wait for anything.
func (h *house) begin() *served {
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	s := &served{cancel: cancel, ready: make(chan struct{}), ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ended <- h.source.Serve(ctx, func() { close(s.ready) })
	}()
	h.t.Cleanup(func() { cancel(); <-done })
	return s
}

// serve serves the source until the test ends, and waits until it is ready.
func (h *house) serve() *served {
	h.t.Helper()
	s := h.begin()
	select {
	case <-s.ready:
	case err := <-s.ended:
		require.Fail(h.t, "the source ended before it was ready", err)
	}
	return s
}

// fault serves the source until it ends by itself, and returns why.
func (h *house) fault() error {
	h.t.Helper()
	return <-h.begin().ended
}

func (h *house) sourceInfo() api.SourceInfo {
	h.t.Helper()
	info, known := h.catalog.Source(sourceID)
	require.True(h.t, known)
	return info
}

func (h *house) stats() api.Stats {
	h.t.Helper()
	all := h.catalog.Stats()
	require.Len(h.t, all, 1)
	return all[0]
}

func (h *house) subscribe(opts api.StreamOptions) api.Stream {
	h.t.Helper()
	s, err := h.catalog.Subscribe(h.t.Context(), sourceID, opts)
	require.NoError(h.t, err)
	h.t.Cleanup(s.Close)
	return s
}

// take reads the next n changes and describes them: op value, and a ! on the last of its transaction.
func take(t *testing.T, s api.Stream, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		c, err := s.Next(t.Context())
		require.NoError(t, err, "change %d of %d", i, n)
		all[i] = fmt.Sprint(c.Op, " ", strconv.FormatInt(c.After[0].Int64(), 10))
		if c.Last {
			all[i] += " !"
		}
	}
	return all
}
