package kafka_test

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/sink/kafka"
)

// cluster is a broker in the memory of the test that keeps its records in files, so that it can end and come back.
type cluster struct {
	*kfake.Cluster
	dir     string
	port    int
	options []kfake.Opt
	// topics are those whose records the suite looks at.
	topics []string
	// limit says that what is large is not taken, client that it is the sink that knows, and not the brokers.
	limit, client bool
	down          bool
	held          *hold
	// texts and read are what has arrived, and how far.
	texts []string
	read  map[string]map[int32]kgo.Offset
}

// hold keeps a broker from answering.
type hold struct {
	sync.Once
	released chan struct{}
	// seen is called when there is a request that is not answered, if it is not nil.
	seen func()
}

func newCluster(t *testing.T, options ...kfake.Opt) *cluster {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	c := &cluster{dir: t.TempDir(), options: options, topics: []string{"shop"}, read: make(map[string]map[int32]kgo.Offset)}
	c.port, err = strconv.Atoi(port)
	require.NoError(t, err)
	c.start(t)
	t.Cleanup(func() {
		if !c.down {
			c.Close()
		}
	})
	return c
}

func (c *cluster) start(t *testing.T) {
	t.Helper()
	options := append([]kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(c.port), kfake.DataDir(c.dir), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
	}, c.options...)
	started, err := kfake.NewCluster(options...)
	require.NoError(t, err)
	c.Cluster, c.down = started, false
}

func (c *cluster) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

// config returns the configuration of a sink.
func (c *cluster) config(common *api.SinkConfig) *api.KafkaConfig {
	config := new(api.KafkaConfig)
	config.SetDefaults()
	if common != nil {
		config.SinkConfig = *common
	}
	config.Brokers, config.Topic, config.SchemaTopic = []string{c.address()}, "shop", "shop"
	if c.limit && c.client {
		config.MaxMessageBytes = 32 << 10
	}
	return config
}

// Kind implements sinktest.Destination.
func (c *cluster) Kind(id registry.ID, common *api.SinkConfig) sink.Kind {
	return kafka.Kind(id, c.config(common))
}

// Down implements sinktest.Destination.
func (c *cluster) Down(t *testing.T) { t.Helper(); c.Close(); c.down = true }

// Up implements sinktest.Destination.
func (c *cluster) Up(t *testing.T) { t.Helper(); c.start(t) }

// Hold implements sinktest.Destination.
func (c *cluster) Hold(t *testing.T) {
	t.Helper()
	h := &hold{released: make(chan struct{})}
	c.held = h
	t.Cleanup(func() { h.Do(func() { close(h.released) }) })
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		select {
		case <-h.released:
			c.DropControl()
		default:
			if h.seen != nil {
				h.seen()
			}
			c.SleepControl(func() { <-h.released })
		}
		return nil, nil, false
	})
}

// Release implements sinktest.Destination.
func (c *cluster) Release(t *testing.T) { t.Helper(); c.held.Do(func() { close(c.held.released) }) }

// Limit implements sinktest.Destination.
func (c *cluster) Limit(t *testing.T, on bool) {
	t.Helper()
	c.limit = on
	if c.client {
		return
	}
	limit := "1048588"
	if on {
		limit = "1700" // less than what is large has compressed
	}
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op, config.Value = "message.max.bytes", kmsg.IncrementalAlterConfigOpSet, &limit
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeBroker
	resource.Configs = append(resource.Configs, config)
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.address()))
	require.NoError(t, err)
	defer client.Close()
	answer, err := request.RequestWith(t.Context(), client)
	require.NoError(t, err)
	require.Len(t, answer.Resources, 1)
	require.NoError(t, kerr.ErrorForCode(answer.Resources[0].ErrorCode))
}

// Received implements sinktest.Destination.
func (c *cluster) Received(t *testing.T) []string {
	t.Helper()
	if c.down {
		return c.texts
	}
	for _, r := range c.records(t) {
		c.texts = append(c.texts, string(r.Value))
	}
	return c.texts
}

// records returns what has arrived since the last call.
func (c *cluster) records(t *testing.T) []*kgo.Record {
	t.Helper()
	missing := int64(0)
	from := make(map[string]map[int32]kgo.Offset)
	for _, topic := range c.topics {
		for _, p := range c.PartitionInfos(topic) {
			at, ok := c.read[topic][p.Partition]
			if !ok {
				at = kgo.NewOffset().At(0)
			}
			if more := p.HighWatermark - at.EpochOffset().Offset; more > 0 {
				missing += more
				if from[topic] == nil {
					from[topic] = make(map[int32]kgo.Offset)
				}
				from[topic][p.Partition] = at
			}
		}
	}
	if missing == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.address()), kgo.ConsumePartitions(from))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []*kgo.Record
	for int64(len(all)) < missing {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			if c.read[r.Topic] == nil {
				c.read[r.Topic] = make(map[int32]kgo.Offset)
			}
			c.read[r.Topic][r.Partition] = kgo.NewOffset().At(r.Offset + 1)
		})
	}
	return all
}

// open returns a destination of its own.
func (c *cluster) open(t *testing.T, configure ...func(*api.KafkaConfig)) sink.Destination {
	t.Helper()
	config := c.config(nil)
	config.Source = registry.ID{Namespace: "app", Name: "cdc"}
	for _, f := range configure {
		f(config)
	}
	require.NoError(t, config.Validate())
	id := registry.ID{Namespace: "app", Name: "outlet"}
	d, err := kafka.Kind(id, config).Open(sink.Settings{Encoder: encode.New(), Logger: slog.New(slog.DiscardHandler), AppDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}
