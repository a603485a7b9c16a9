package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/natstest"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
)

var outlet = registry.ID{Namespace: "app", Name: "outlet"}

// open returns a destination of its own.
func (s *server) open(t *testing.T, id registry.ID, configure ...func(*api.JetStreamConfig)) sink.Destination {
	t.Helper()
	config := s.config(nil)
	config.Source = registry.ID{Namespace: "app", Name: "cdc"}
	for _, f := range configure {
		f(config)
	}
	require.NoError(t, config.Validate())
	d, err := wippyjetstream.Kind(id, config).Open(sink.Settings{Encoder: encode.New(), Logger: slog.New(slog.DiscardHandler), AppDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// create makes the stream of the server in another way than a sink would.
func (s *server) create(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	js, done := s.connect(t)
	defer done()
	config := jetstream.StreamConfig{Name: "SHOP", Subjects: []string{"shop.>"}, AllowAtomicPublish: true}
	change(&config)
	_, err := js.CreateOrUpdateStream(t.Context(), config)
	require.NoError(t, err)
}

// records returns inserts of the rows from first on, each transaction of the given size.
func records(first, n, size int) []sink.Record {
	table := &sqlapi.Table{Schema: "main", Name: "users", Columns: []sqlapi.Column{{Name: "id"}}, Key: []int{0}}
	all := make([]sink.Record, n)
	for i := range all {
		row := first + i
		tx := &api.Transaction{Generation: "5e1f", Sequence: uint64(row/size + 1), LSN: "1"}
		c := &api.Change{
			Op: api.OpInsert, Table: table, Transaction: tx, Index: row % size, Last: row%size == size-1,
			After: []sqlapi.Value{sqlapi.IntegerValue(int64(row))},
		}
		all[i] = sink.Record{Change: c, Cursor: c.Cursor(), Value: fmt.Appendf(nil, "%d", row)}
	}
	return all
}

func deliver(t *testing.T, d sink.Destination, records []sink.Record) {
	t.Helper()
	n, err := d.Deliver(t.Context(), records)
	require.NoError(t, err)
	require.Equal(t, len(records), n)
}

// upTo is what has arrived after the first n records.
func upTo(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}

// What the stream has is not published again, however long ago it was: the server itself remembers IDs for a while only.
func TestGoesOnBehindTheLastMessage(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"batches": false, "messages": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.create(t, func(c *jetstream.StreamConfig) {
				c.AllowAtomicPublish, c.Duplicates = !plain, 100*time.Millisecond
			})
			first := s.open(t, outlet)
			deliver(t, first, records(0, 30, 4))
			js, done := s.connect(t)
			defer done()
			for i := range 20 { // longer than the server remembers, with messages of others in between
				_, err := js.Publish(t.Context(), fmt.Sprintf("shop.other.%d", i), nil)
				require.NoError(t, err)
				<-time.After(10 * time.Millisecond)
			}
			second := s.open(t, outlet)
			deliver(t, second, records(10, 40, 4))
			s.Kill()
			s.Start()
			if _, err := second.Deliver(t.Context(), records(45, 10, 4)); err != nil { // if it has not noticed yet
				require.True(t, errs.Retryable(err), "%v", err)
				deliver(t, second, records(45, 10, 4))
			}
			var got []string
			for _, m := range s.messages(t) {
				if m.Headers().Get(nats.MsgIdHdr) != "" {
					got = append(got, string(m.Data()))
				}
			}
			require.Equal(t, upTo(55), got)
		})
	}
}

// A reader sees a transaction whole, or nothing of it, and large ones in parts.
func TestTransactionsAreBatches(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	deliver(t, s.open(t, outlet), records(0, 2800, 400))
	var batches []string
	sizes := make(map[string]int)
	for _, m := range s.messages(t) {
		id := m.Headers().Get("Nats-Batch-Id")
		if sizes[id]++; len(batches) == 0 || batches[len(batches)-1] != id {
			batches = append(batches, id)
		}
		if m.Headers().Get("Nats-Batch-Commit") != "" {
			require.Equal(t, "true", m.Headers().Get("Wippy-Last"), "a batch ends with a transaction")
		}
	}
	got := make([]int, len(batches))
	for i, id := range batches {
		got[i] = sizes[id]
	}
	require.Equal(t, []int{800, 800, 800, 400}, got)
}

// Others may publish to the stream in between.
func TestOthersPublishToo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.create(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	d := s.open(t, outlet)
	js, done := s.connect(t)
	defer done()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = js.Publish(t.Context(), "shop.main.users", []byte("other"), jetstream.WithMsgID(nats.NewInbox()))
			}
		}
	}()
	for i := range 10 {
		deliver(t, d, records(20*i, 20, 3))
	}
	close(stop)
	<-ended
	var got []string
	for _, text := range s.Received(t) {
		if text != "other" {
			got = append(got, text)
		}
	}
	require.Equal(t, upTo(200), got)
}

// Two sinks of one source would take each other's messages for their own.
func TestTwoSinksOfASource(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		s := newServer(t)
		s.create(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = !plain })
		deliver(t, s.open(t, outlet), records(0, 3, 1))
		_, err := s.open(t, registry.ID{Namespace: "app", Name: "second"}).Deliver(t.Context(), records(0, 3, 1))
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		require.ErrorContains(t, err, "another sink of the source \"app:cdc\" publishes there; give each a stream of its own")
	}
}

// A snapshot that begins anew may have other rows at the same places.
func TestASnapshotBeginsAnew(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	began := time.Unix(1700000000, 0)
	snapshot := func(rows ...string) []sink.Record {
		began = began.Add(time.Nanosecond)
		all := records(0, len(rows)+2, 1)
		for i := range all {
			c := all[i].Change
			c.Transaction = &api.Transaction{Generation: "5e1f", Sequence: 7, LSN: "7", CommittedAt: began}
			c.Op, c.Index, c.Last = api.OpSnapshot, i-1, i > len(rows)
			switch i {
			case 0:
				c.Op, c.Table, c.Index = api.OpBegin, nil, 0
				all[i].Value = []byte("begin")
			case len(rows) + 1:
				c.Op, c.Table, c.Index = api.OpEnd, nil, 0
				all[i].Value = []byte("end")
			default:
				all[i].Value = []byte(rows[i-1])
			}
			all[i].Cursor = c.Cursor()
		}
		return all
	}
	d := s.open(t, outlet)
	first := snapshot("a", "b", "c")
	deliver(t, d, first[:3])
	deliver(t, d, first[1:3]) // as after an answer that was lost
	d.Close()
	deliver(t, d, first[2:3])
	d = s.open(t, outlet) // as after a crash
	deliver(t, d, snapshot("c", "b", "a"))
	deliver(t, d, records(8, 2, 1))
	require.Equal(t, []string{"begin", "a", "b", "begin", "c", "b", "a", "end", "8", "9"}, s.Received(t))
}

func TestStreamsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.create(t, func(c *jetstream.StreamConfig) { c.Name, c.Subjects = "OTHER", []string{"shop.main.users"} })
	_, err := s.open(t, outlet).Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, "another stream takes these subjects")

	_, err = s.open(t, outlet, func(c *api.JetStreamConfig) { c.Stream = "OTHER" }).Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, "stream OTHER does not take the subjects shop.*.*, shop._schema: add them")

	s.create(t, func(c *jetstream.StreamConfig) {
		c.Name, c.Subjects, c.MaxMsgs, c.Discard = "OTHER", []string{"full.>"}, 2, jetstream.DiscardNew
	})
	full := s.open(t, outlet, func(c *api.JetStreamConfig) { c.Stream, c.Subject = "OTHER", "full.{table}" })
	deliver(t, full, records(0, 2, 1))
	_, err = full.Deliver(t.Context(), records(2, 2, 1))
	require.True(t, errs.Retryable(err), "%v", err)
	require.ErrorContains(t, err, "maximum messages exceeded")

	large := records(2, 3, 1)
	large[1].Value = []byte(strings.Repeat("x", 2<<20))
	s.create(t, func(c *jetstream.StreamConfig) { c.Name, c.Subjects = "OTHER", []string{"full.>"} })
	n, err := full.Deliver(t.Context(), large)
	require.Equal(t, 1, n)
	rejected := new(sink.RejectedError)
	require.ErrorAs(t, err, &rejected)
	require.True(t, rejected.One)
	require.ErrorContains(t, err, "max_payload")
}

func TestServersThatRefuse(t *testing.T) {
	t.Parallel()
	s := &server{Server: natstest.New(t, `authorization: {token: "right"}`), ids: make(map[string]bool)}
	_, err := s.open(t, outlet, func(c *api.JetStreamConfig) { c.Token = "hidden" }).Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	require.NotContains(t, err.Error(), "hidden")
	deliver(t, s.open(t, outlet, func(c *api.JetStreamConfig) { c.Token = "right" }), records(0, 1, 1))
	deliver(t, s.open(t, outlet, func(c *api.JetStreamConfig) { c.URL = strings.Replace(c.URL, "nats://", "nats://right@", 1) }), records(1, 1, 1))

	s.Kill()
	_, err = s.open(t, outlet, func(c *api.JetStreamConfig) { c.URL = strings.Replace(c.URL, "nats://", "nats://ann:hidden@", 1) }).
		Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.NotContains(t, err.Error(), "hidden")
}

// A sink that is stopped gives up connecting, and does not try the servers that are left.
func TestGivesUpConnecting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var addresses []string
	accepted := make(chan net.Conn, 2)
	for range cap(accepted) { // each takes a connection and says nothing
		silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = silent.Close() }()
		addresses = append(addresses, "nats://"+silent.Addr().String())
		go func() {
			if conn, err := silent.Accept(); err == nil {
				accepted <- conn
				cancel()
			}
		}()
	}
	_, err := newServer(t).open(t, outlet, func(c *api.JetStreamConfig) { c.URL = strings.Join(addresses, ",") }).Deliver(ctx, records(0, 1, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, accepted, 1)
	require.NoError(t, (<-accepted).Close())
}

// What keeps a sink from its server is told: that would else look like a stream that is away.
func TestAServerThatIsNotThereOrHasNoJetStream(t *testing.T) {
	t.Parallel()
	s := &server{Server: natstest.New(t, "jetstream: false")}
	_, err := s.open(t, outlet).Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "the server has no JetStream: start it with -js")
	s.Kill()
	_, err = s.open(t, outlet).Deliver(t.Context(), records(0, 1, 1))
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "connect: connection refused: is a server running there?")
}
