package jetstream_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/natstest"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
	"github.com/wippy-cdc/runtime/service/cdc/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a stream of a real server.
type server struct {
	*natstest.Server
	// plain says that the stream takes no batches.
	plain bool
	// texts and ids are what has arrived up to a sequence.
	texts  []string
	ids    map[string]bool
	newest uint64
	// twice are the IDs that have arrived twice.
	twice []string
	down  bool
}

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{Server: natstest.New(t), ids: make(map[string]bool)}
}

// config returns the configuration of a sink.
func (s *server) config(common *api.SinkConfig) *api.JetStreamConfig {
	config := new(api.JetStreamConfig)
	config.SetDefaults()
	if common != nil {
		config.SinkConfig = *common
	}
	config.URL, config.Stream, config.Subject = s.URL(), "SHOP", "shop.{schema}.{table}"
	return config
}

// Kind implements sinktest.Destination.
func (s *server) Kind(id registry.ID, common *api.SinkConfig) sink.Kind {
	return wippyjetstream.Kind(id, s.config(common))
}

// connect returns a connection of the test's own.
func (s *server) connect(t *testing.T) (jetstream.JetStream, func()) {
	t.Helper()
	conn, err := nats.Connect(s.URL())
	require.NoError(t, err)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js, conn.Close
}

// Down implements sinktest.Destination.
func (s *server) Down(t *testing.T) { t.Helper(); s.Kill(); s.down = true }

// Up implements sinktest.Destination.
func (s *server) Up(t *testing.T) { t.Helper(); s.Start(); s.down = false }

// Hold implements sinktest.Destination.
func (s *server) Hold(t *testing.T) { t.Helper(); s.Freeze() }

// Release implements sinktest.Destination.
func (s *server) Release(t *testing.T) { t.Helper(); s.Thaw() }

// Limit implements sinktest.Destination.
func (s *server) Limit(t *testing.T, on bool) {
	t.Helper()
	js, done := s.connect(t)
	defer done()
	config := jetstream.StreamConfig{
		Name: "SHOP", Subjects: []string{"shop.*.*", "shop._schema"}, AllowAtomicPublish: !s.plain, MaxMsgSize: -1,
	}
	if on {
		config.MaxMsgSize = 32 << 10
	}
	_, err := js.CreateOrUpdateStream(t.Context(), config)
	require.NoError(t, err)
}

// Received implements sinktest.Destination.
func (s *server) Received(t *testing.T) []string {
	t.Helper()
	if s.down {
		return s.texts
	}
	for _, m := range s.messages(t) {
		id := m.Headers().Get(nats.MsgIdHdr)
		if s.ids[id] {
			s.twice = append(s.twice, id)
		}
		s.ids[id] = true
		s.texts = append(s.texts, string(m.Data()))
	}
	require.Empty(t, s.twice)
	return s.texts
}

// messages returns what has arrived since the last call.
func (s *server) messages(t *testing.T) []jetstream.Msg {
	t.Helper()
	js, done := s.connect(t)
	defer done()
	stream, err := js.Stream(t.Context(), "SHOP")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	require.NoError(t, err)
	last := stream.CachedInfo().State.LastSeq
	if last == s.newest {
		return nil
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.newest + 1,
	})
	require.NoError(t, err)
	var all []jetstream.Msg
	for s.newest < last {
		batch, err := consumer.Fetch(int(last - s.newest))
		require.NoError(t, err)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			require.NoError(t, err)
			s.newest = meta.Sequence.Stream
			all = append(all, m)
		}
		require.NoError(t, batch.Error())
	}
	return all
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"batches": false, "messages": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, sinktest.Properties{Ordered: true, Once: true}, func(t *testing.T) sinktest.Destination {
				t.Helper()
				s := newServer(t)
				if s.plain = plain; plain {
					s.Limit(t, false) // which creates the stream
				}
				return s
			})
		})
	}
}
