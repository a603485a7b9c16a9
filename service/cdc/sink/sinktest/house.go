package sinktest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// The entries of a house.
var (
	dbID   = registry.ID{Namespace: "app", Name: "db"}     //nolint:gochecknoglobals // it is a constant
	cdcID  = registry.ID{Namespace: "app", Name: "cdc"}    //nolint:gochecknoglobals // it is a constant
	sinkID = registry.ID{Namespace: "app", Name: "outlet"} //nolint:gochecknoglobals // it is a constant
)

// deadline is how long a condition may take on a machine that is busy.
const deadline = 2 * time.Minute

// House is a durable source of a SQLite database with the table users, and a sink on it.
type House struct {
	t           *testing.T
	destination Destination
	file        string
	db          *sqlite.DB
	engine      *source.Catalog
	sinks       *sink.Catalog
	log         *lockedBuffer
	// next is the ID of the next row.
	next int
}

// lockedBuffer keeps what is logged.
type lockedBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

// count returns how often a text was logged.
func (b *lockedBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.all.String(), text)
}

// NewHouse returns a house whose sinks deliver to a destination.
func NewHouse(t *testing.T, destination Destination) *House {
	t.Helper()
	dir := t.TempDir()
	h := &House{t: t, destination: destination, file: filepath.Join(dir, "app.db"), engine: source.NewCatalog(), log: new(lockedBuffer), next: 1}
	config := new(sqlapi.SQLiteConfig)
	config.SetDefaults()
	config.File, config.CaptureMemory, config.MaxTransactionBytes = "app.db", unit.MiB, 64*unit.MiB
	db, err := sqlite.Open(t.Context(), dbID, config, dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	h.db = db
	directory := resource.New()
	t.Cleanup(directory.Publish(dbID, db))
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	h.sinks = sink.NewCatalog(sink.Settings{Engine: h.engine, Encoder: encode.New(), Directory: directory, Logger: logger})
	h.Exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	entry := new(api.SQLiteConfig)
	entry.SetDefaults()
	entry.DBResource, entry.Durable = dbID, true
	engine := cdcsqlite.New(cdcID, entry, directory)
	h.engine.Declare(engine)
	serve(t, source.New(engine, h.engine, slog.New(slog.DiscardHandler)).Serve)
	return h
}

// Exec runs statements, as one transaction if they say so.
func (h *House) Exec(statements string, args ...any) {
	h.t.Helper()
	_, err := h.db.Pool().ExecContext(h.t.Context(), statements, args...)
	require.NoError(h.t, err, statements)
}

// Insert makes transactions of the given numbers of rows.
func (h *House) Insert(sizes ...int) {
	h.t.Helper()
	for _, size := range sizes {
		statements := []string{"BEGIN"}
		for range size {
			statements = append(statements, fmt.Sprintf("INSERT INTO users VALUES (%d, 'name %d')", h.next, h.next))
			h.next++
		}
		h.Exec(strings.Join(append(statements, "COMMIT"), "; "))
	}
}

// query returns the first column of what a query finds.
func (h *House) query(query string) []string {
	h.t.Helper()
	rows, err := h.db.Pool().QueryContext(h.t.Context(), query)
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var text string
		require.NoError(h.t, rows.Scan(&text))
		all = append(all, text)
	}
	require.NoError(h.t, rows.Err())
	return all
}

// Outsider commits on a connection that is not captured.
func (h *House) outsider(statement string) {
	h.t.Helper()
	other, err := sql.Open("sqlite3", h.file)
	require.NoError(h.t, err)
	_, err = other.ExecContext(h.t.Context(), statement)
	require.NoError(h.t, err)
	require.NoError(h.t, other.Close())
}

// Served is a sink that is being served.
type Served struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Stop stops the sink, and returns how it has ended.
func (s *Served) Stop() error {
	s.cancel()
	<-s.done
	return s.err
}

// wait waits until the sink ends by itself.
func (h *House) wait(s *Served) error {
	t := h.t
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(deadline):
		require.Fail(t, "the sink goes on", "%+v", h.info())
	}
	return s.err
}

// Sink serves a sink whose entry is as configure makes it, once it is ready.
func (h *House) Sink(configure ...func(*api.SinkConfig)) *Served {
	h.t.Helper()
	config := new(api.SinkConfig)
	config.SetDefaults()
	config.Source = cdcID
	config.Retry = api.RetryConfig{InitialDelay: unit.Duration(time.Millisecond), MaxDelay: unit.Duration(50 * time.Millisecond)}
	for _, f := range configure {
		f(config)
	}
	s := h.sinks.New(sinkID, config, h.destination.Kind(sinkID, config))
	h.sinks.Declare(s)
	return serve(h.t, s.Serve)
}

// serve serves a service until the test ends, and waits until it is ready or has ended.
func serve(t *testing.T, run func(ctx context.Context, ready func()) error) *Served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &Served{cancel: cancel, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(s.done)
		s.err = run(ctx, func() { close(ready) })
	}()
	t.Cleanup(func() { cancel(); <-s.done })
	select {
	case <-ready:
	case <-s.done:
	case <-time.After(deadline):
		require.Fail(t, "it is not ready")
	}
	return s
}

// info describes the sink.
func (h *House) info() api.SinkInfo {
	h.t.Helper()
	all := h.sinks.Sinks()
	require.Len(h.t, all, 1)
	return all[0]
}

// eventually waits for a condition.
func (h *House) eventually(condition func() bool, what string) {
	h.t.Helper()
	for until := time.Now().Add(deadline); !condition(); {
		require.True(h.t, time.Now().Before(until), "never: %s\n%+v", what, h.sinks.Sinks())
		<-time.After(10 * time.Millisecond)
	}
}

// drained waits until the sink has nothing left to deliver.
func (h *House) drained() {
	h.t.Helper()
	h.eventually(func() bool { return h.info().Stats.LagBytes == 0 }, "the sink has delivered everything")
}
