package jetstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// A message that the server remembers, and that has left the stream meanwhile, has arrived.
func TestMessagesThatHaveLeftTheStream(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, s *server, js jetstream.Stream){
		"purged": func(t *testing.T, _ *server, stream jetstream.Stream) {
			t.Helper()
			require.NoError(t, stream.Purge(t.Context()))
		},
		"another subject": func(*testing.T, *server, jetstream.Stream) {},
	} {
		for _, plain := range []bool{false, true} {
			for _, size := range []int{1, 4} {
				t.Run(fmt.Sprint(name, plain, size), func(t *testing.T) {
					t.Parallel()
					s := newServer(t)
					s.create(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = !plain })
					deliver(t, s.open(t, outlet), records(0, 20, size))
					require.Equal(t, upTo(20), s.Received(t))
					js, done := s.connect(t)
					defer done()
					stream, err := js.Stream(t.Context(), "SHOP")
					require.NoError(t, err)
					leave(t, s, stream)
					again := s.open(t, outlet, func(c *api.JetStreamConfig) { c.Subject = "shop.moved.{table}" })
					deliver(t, again, records(8, 8, size))
					deliver(t, again, records(16, 8, size))
					deliver(t, again, records(24, 6, size))
					require.Equal(t, upTo(30), s.Received(t))
				})
			}
		}
	}
}

// The newest message is asked for where it is known: a replica may be behind.
func TestAsksTheLeader(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.create(t, func(c *jetstream.StreamConfig) { c.AllowDirect = true })
	conn, err := nats.Connect(s.URL())
	require.NoError(t, err)
	defer conn.Close()
	direct, err := conn.SubscribeSync("$JS.API.DIRECT.>")
	require.NoError(t, err)
	require.NoError(t, conn.Flush())
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	deliver(t, s.open(t, outlet), records(0, 5, 1))
	_, err = js.Publish(t.Context(), "shop.main.users", nil)
	require.NoError(t, err)
	deliver(t, s.open(t, outlet), records(2, 5, 1))
	require.NoError(t, conn.Flush())
	asked, _, err := direct.Pending()
	require.NoError(t, err)
	require.Zero(t, asked)
}

// A message that is too large with the headers that are added when it is sent is a rejection.
func TestMessagesThatAreAlmostTooLarge(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		s := newServer(t)
		s.create(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = !plain })
		d := s.open(t, outlet)
		for i := range 12 {
			batch := records(3*i, 3, 3)
			batch[1].Value = []byte(strings.Repeat("x", 1<<20-50*i))
			n, err := d.Deliver(t.Context(), batch)
			if n == 3 {
				require.NoError(t, err)
				continue
			}
			require.Equal(t, 1, n, "%v", err)
			rejected := new(sink.RejectedError)
			require.ErrorAs(t, err, &rejected)
			require.True(t, rejected.One)
		}
	}
}

// Names become tokens of subjects, and a record in the format flat says in its headers which row it is of.
func TestMessages(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := s.open(t, outlet, func(c *api.JetStreamConfig) { c.Format = api.FormatFlat })
	batch := records(0, 5, 5)
	for i, name := range []string{"users", "a.b *>", "größe", "$x", ""} {
		table := *batch[i].Change.Table
		table.Name = name
		batch[i].Change.Table = &table
	}
	c := batch[1].Change
	c.Op, c.Before = api.OpUpdate, []sqlapi.Value{sqlapi.IntegerValue(7)}
	batch[4].Change.Op, batch[4].Change.Table.Name, batch[4].Change.After = api.OpSchema, "t", nil
	batch[4].Change.Schema = &api.SchemaChange{Action: api.Create}
	deliver(t, d, batch)
	var got []string
	for _, m := range s.messages(t) {
		h := m.Headers()
		got = append(got, m.Subject()+" "+h.Get("Wippy-Key")+h.Get("Wippy-New-Key"))
		require.Equal(t, "app:outlet app:cdc", h.Get("Wippy-Sink")+" "+h.Get("Wippy-Source"))
		require.Equal(t, "app:cdc/"+h.Get("Wippy-Cursor"), h.Get("Nats-Msg-Id"))
	}
	require.Equal(t, []string{
		`shop.main.users {"id":0}`, `shop.main.a%2Eb%20%2A%3E {"id":7}{"id":1}`, `shop.main.gr%C3%B6%C3%9Fe {"id":2}`, `shop.main.%24x {"id":3}`,
		`shop._schema `,
	}, got)
}
