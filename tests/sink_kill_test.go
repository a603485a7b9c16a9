package tests_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/natstest"
)

// streamed is an app whose writer inserts rows with ascending numbers and counts in others, in transactions of many sizes, and
// whose changes go to a stream of NATS.
const streamed = `
-- app.yaml --
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: load.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, durable: true, ack_interval: 100ms}
  - name: stream
    kind: cdc.sink.jetstream
    source: cdc
    snapshot: true
    url: "%s"
    stream: LOAD
    subject: "load.{table}"
    batch: {max_changes: %d, max_wait: 5ms}
    retry: {initial_delay: 5ms, max_delay: 50ms}
    lifecycle: {auto_start: true}
  - {name: terminal, kind: terminal.host}
  - {name: writer, kind: process.lua, source: file://writer.lua, modules: [sql, io]}
  - name: service
    kind: process.service
    process: writer
    host: terminal
    lifecycle: {auto_start: %t, requires: [stream]}
-- writer.lua --
function main()
  local db = assert(require("sql").get("app:db"))
  local n = assert(db:query("SELECT coalesce(max(n), 0) AS n FROM ledger"))[1].n
  require("io").print("open")
  while true do
    local tx = assert(db:begin())
    for _ = 1, ({ 1, 1, 3, 40 })[math.random(4)] do
      n = n + 1
      assert(tx:execute("INSERT INTO ledger VALUES (?)", { n }))
    end
    assert(tx:execute("UPDATE counters SET v = v + 1 WHERE id = ?", { math.random(5) }))
    if math.random(10) == 1 then
      assert(tx:rollback())
      n = assert(db:query("SELECT coalesce(max(n), 0) AS n FROM ledger"))[1].n
    else
      assert(tx:commit())
    end
  end
end
`

// TestKillsAroundASink kills the program and the NATS server again and again while a writer is at work. The stream has each
// row that was committed once, in order, and each counter in steps of one.
func TestKillsAroundASink(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"batches": false, "messages": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testKillsAroundASink(t, plain)
		})
	}
}

func testKillsAroundASink(t *testing.T, plain bool) {
	t.Helper()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pause := func() { time.Sleep(time.Duration(random.IntN(int(100 * time.Millisecond)))) } //nolint:forbidigo // anywhere in what goes on
	server := natstest.New(t)
	if plain {
		withStream(t, server, func(js jetstream.JetStream) {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOAD", Subjects: []string{"load.>"}})
			require.NoError(t, err)
		})
	}
	size := 1 + random.IntN(700)
	dir := unpack(t, fmt.Sprintf(streamed, server.URL(), size, true))
	file := filepath.Join(dir, "load.db")
	prepareLoad(t, file)

	app := launch(t, dir, "run", "-s")
	app.prints(t, app.stdout, "open\n")
	afterFirstSnapshot(t, server)
	ofApp, ofServer := 0, 0
	for ofApp+ofServer < 2*kills(t) {
		pause()
		if random.IntN(2) == 0 {
			app.signal(t, syscall.SIGKILL)
			app.exit()
			ofApp++
			app = launch(t, dir, "run", "-s")
			app.prints(t, app.stdout, "open\n")
			continue
		}
		server.Kill()
		ofServer++
		pause()
		server.Start()
	}
	pause()
	app.signal(t, syscall.SIGKILL)
	app.exit()

	want := committedLoad(t, file)
	write(t, filepath.Join(dir, "app.yaml"), strings.Split(fmt.Sprintf(streamed, server.URL(), size, false), "-- writer.lua --")[0][len("\n-- app.yaml --\n"):])
	app = launch(t, dir, "run")
	var got load
	withStream(t, server, func(js jetstream.JetStream) { got = consume(t, js, want, app) })
	app.signal(t, syscall.SIGTERM)
	app.exit()
	require.Equal(t, want.rows, got.rows, "rows, in order")
	require.Equal(t, want.counters, got.counters)
	t.Logf("%d kills of the app and %d of the server: %d rows and %d messages, each once, %d snapshots begun anew",
		ofApp, ofServer, len(got.rows), got.messages, got.begins-1)
}

// load is what was written: the rows in order, and the counters.
type load struct {
	rows     []int
	counters map[int]int
	// messages and begins count what has arrived, and the snapshots among it.
	messages, begins int
}

// afterFirstSnapshot waits until the stream has the snapshot that the sink has begun with, and the app has noted that. Then it
// does not begin anew for having been killed.
func afterFirstSnapshot(t *testing.T, server *natstest.Server) {
	t.Helper()
	withStream(t, server, func(js jetstream.JetStream) {
		for {
			stream, err := js.Stream(t.Context(), "LOAD")
			if err == nil {
				if _, err = stream.GetLastMsgForSubject(t.Context(), "load.counters"); err == nil {
					break
				}
			}
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // NATS has nothing to wait for
		}
	})
	time.Sleep(time.Second) //nolint:forbidigo // some times ack_interval; if that is not enough a snapshot more is all there is
}

func prepareLoad(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `PRAGMA journal_mode = wal; CREATE TABLE ledger (n INTEGER PRIMARY KEY);
		CREATE TABLE counters (id INTEGER PRIMARY KEY, v); INSERT INTO counters VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// committedLoad reads what has committed. It only reads: a connection that may write would move the write-ahead log into the
// database when it closes, and with it what tells which of the last transactions have committed.
func committedLoad(t *testing.T, file string) load {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+file+"?mode=ro")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	all := load{counters: make(map[int]int)}
	read := func(query string, f func(a, b int)) {
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer func() { require.NoError(t, rows.Close()) }()
		for rows.Next() {
			var a, b int
			require.NoError(t, rows.Scan(&a, &b))
			f(a, b)
		}
		require.NoError(t, rows.Err())
	}
	read("SELECT n, 0 FROM ledger ORDER BY n", func(n, _ int) { all.rows = append(all.rows, n) })
	read("SELECT id, v FROM counters", func(id, v int) { all.counters[id] = v })
	return all
}

func withStream(t *testing.T, server *natstest.Server, f func(jetstream.JetStream)) {
	t.Helper()
	conn, err := nats.Connect(server.URL())
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	f(js)
}

// consume reads the stream, as a copy of the tables would be kept, until it has as much as is wanted.
func consume(t *testing.T, js jetstream.JetStream, want load, app *running) load {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), "LOAD", jetstream.OrderedConsumerConfig{})
	require.NoError(t, err)
	r := &loadReader{t: t, load: load{counters: make(map[int]int)}, ids: make(map[string]bool)}
	for deadline := time.Now().Add(5 * time.Minute); len(r.rows) < len(want.rows) || !maps.Equal(r.counters, want.counters); {
		require.True(t, time.Now().Before(deadline), "%d of %d rows have arrived, counters %v of %v: %s",
			len(r.rows), len(want.rows), r.counters, want.counters, app.stderr)
		batch, err := consumer.Fetch(1000, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		for m := range batch.Messages() {
			r.take(m)
		}
	}
	return r.load
}

// loadReader reads a stream.
type loadReader struct {
	t *testing.T
	load
	ids    map[string]bool
	newest string
}

// take takes the next message, which must be the next in order. With the begin of a snapshot everything is void, as behind a gap
// that a crash has left.
func (r *loadReader) take(m jetstream.Msg) {
	r.t.Helper()
	id, cursor := m.Headers().Get(nats.MsgIdHdr), m.Headers().Get("Wippy-Cursor")
	require.False(r.t, r.ids[id], "%s has arrived twice", id)
	r.ids[id] = true
	r.messages++
	switch m.Headers().Get("Wippy-Op") {
	case "begin":
		r.begins++
		r.rows, r.newest = nil, ""
		clear(r.counters)
		return
	case "end":
		return
	}
	require.Greater(r.t, cursor, r.newest, "in order")
	r.newest = cursor
	var change struct {
		Op    string
		After struct{ N, ID, V int }
	}
	require.NoError(r.t, json.Unmarshal(m.Data(), &change))
	switch after := change.After; {
	case m.Subject() == "load.ledger":
		r.rows = append(r.rows, after.N)
	case change.Op == "r":
		r.counters[after.ID] = after.V
	default:
		require.Equal(r.t, r.counters[after.ID]+1, after.V, "counter %d", after.ID)
		r.counters[after.ID] = after.V
	}
}
