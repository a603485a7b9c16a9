// Package kafka produces changes to topics of Kafka: https://kafka.apache.org/documentation.
package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/tlsfile"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

const (
	// dialTimeout is how long a broker may take to answer a connection, answerTimeout to answer a request, and twice that
	// if it is one that stores records; deliverTimeout is how long the client tries to have records stored.
	dialTimeout    = 5 * time.Second
	answerTimeout  = 5 * time.Second
	deliverTimeout = 10 * time.Second
	// askAgain is the least time between two questions for the leaders of partitions: what a partition has waits for the
	// next answer once its leader has moved or does not store.
	askAgain = 250 * time.Millisecond
	// lookups is how many attempts may fail because there is no topic, a second each, until it is taken for missing: brokers that
	// are to make it take a while.
	lookups = 5
	// tries is how often the client repeats a request before the sink hears of it: a partition that has got another leader
	// is no destination that is away.
	tries = 4
	// mostBuffered is more than a batch has: two records for each change.
	mostBuffered = 1 << 20
)

// Kind returns what a sink of this configuration has of its own.
func Kind(id registry.ID, config *api.KafkaConfig) sink.Kind {
	return sink.Kind{Name: api.KindKafka, Shown: config.Shown(), Open: func(s sink.Settings) (sink.Destination, error) {
		return open(id, config, s)
	}}
}

// Destination is topics. It keeps its client over failures that the brokers tell of: what such an attempt has left on its
// way is then refused once a later one has stored something, because its epoch is older.
type Destination struct {
	config  *api.KafkaConfig
	shown   string
	topics  *sink.Route
	encoder api.Encoder
	options []kgo.Opt

	client *kgo.Client // nil if there is none
	// sure says that a broker has answered since the last failure.
	sure bool
	// known are the topics to which the client has produced, missing is how many attempts have just failed for want of one.
	known   map[string]bool
	missing int
}

var _ sink.Destination = (*Destination)(nil)

func open(id registry.ID, config *api.KafkaConfig, s sink.Settings) (*Destination, error) {
	d := &Destination{config: config, shown: config.Shown(), encoder: s.Encoder}
	d.topics = &sink.Route{Template: config.Topic, Own: config.OwnTopic(), Sign: '-'}
	d.options = []kgo.Opt{
		kgo.SeedBrokers(config.Brokers...), kgo.ClientID("wippy-" + id.Namespace + "-" + id.Name), kgo.DisableClientMetrics(),
		kgo.DialTimeout(dialTimeout), kgo.RequestTimeoutOverhead(answerTimeout), kgo.ProduceRequestTimeout(answerTimeout),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.AllowIdempotentProduceCancellation(),
		kgo.RecordRetries(tries), kgo.MetadataMinAge(askAgain),
		kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(partitioner()), kgo.ManualFlushing(), kgo.MaxBufferedRecords(mostBuffered),
		kgo.ProducerBatchMaxBytes(int32(config.MaxMessageBytes)), //nolint:gosec // Validate bounds it
	}
	if config.TLS.IsSet() {
		secured, err := tlsfile.Load(tlsfile.Files{Dir: s.AppDir, CA: config.TLS.CA, Cert: config.TLS.Cert, Key: config.TLS.Key})
		if err != nil {
			return nil, err
		}
		d.options = append(d.options, kgo.DialTLSConfig(secured))
	}
	if config.SASL.IsSet() {
		d.options = append(d.options, kgo.SASL(mechanism(config.SASL)))
	}
	return d, nil
}

func mechanism(c api.SASLConfig) sasl.Mechanism {
	switch c.Mechanism {
	case api.SASLScramSHA256:
		return scram.Auth{User: c.Username, Pass: c.Password}.AsSha256Mechanism()
	case api.SASLScramSHA512:
		return scram.Auth{User: c.Username, Pass: c.Password}.AsSha512Mechanism()
	default:
		return plain.Auth{User: c.Username, Pass: c.Password}.AsMechanism()
	}
}

// Close implements sink.Destination.
func (d *Destination) Close() {
	if d.client != nil {
		d.client.Close()
	}
	d.client, d.sure = nil, false
}

// Deliver implements sink.Destination.
func (d *Destination) Deliver(ctx context.Context, records []sink.Record) (int, error) {
	done := 0
	for done < len(records) {
		if err := d.ready(ctx); err != nil {
			return done, d.failed(ctx, err)
		}
		n, err := d.publish(ctx, records[done:])
		done += n
		if err != nil {
			return done, d.failed(ctx, err)
		}
		d.missing = 0
	}
	return done, nil
}

// ready sees to it that there is a client, and that a broker answers it: the client itself tries for long, and does not
// say why in vain.
func (d *Destination) ready(ctx context.Context) error {
	if d.client == nil {
		client, err := kgo.NewClient(d.options...)
		if err != nil {
			return errs.New(errs.Invalid, "%w", err)
		}
		d.client, d.known = client, make(map[string]bool)
	}
	if d.sure {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	if err := d.client.Ping(ctx); err != nil {
		return err
	}
	d.sure = true
	return nil
}

// failed describes why records were not stored.
func (d *Destination) failed(ctx context.Context, err error) error {
	if rejected, ok := errors.AsType[*sink.RejectedError](err); ok {
		return rejected
	}
	d.sure = false
	if errors.Is(err, kgo.ErrRecordRetries) && d.client != nil { // a broker that is away says more
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		if cause := d.client.Ping(ctx); cause != nil {
			err = cause
		}
	}
	switch kind := errs.KindOf(err); {
	case isAny(err, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState):
		return errs.New(errs.PermissionDenied, "%s: %w; look at sasl of the sink", d.shown, err)
	case isAny(err, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed):
		return errs.New(errs.PermissionDenied, "%s: %w; the user of the sink needs the rights to describe and write its topics, and to create "+
			"them or have them created", d.shown, err)
	case isAny(err, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID):
		if d.missing++; d.missing < lookups {
			return errs.New(errs.Unavailable, "%s: %w", d.shown, err)
		}
		return errs.New(errs.NotFound, "%s: %w; create the topic, or have the brokers do it (auto.create.topics.enable)", d.shown, err)
	case isAny(err, kerr.InvalidTopicException):
		return errs.New(errs.Invalid, "%s: %w; look at topic and schema_topic of the sink", d.shown, err)
	case errors.Is(err, context.DeadlineExceeded):
		return errs.New(errs.Timeout, "%s: no answer in time: %w", d.shown, err)
	case kind != errs.Unknown:
		return errs.New(kind, "%s: %w", d.shown, err)
	default:
		return errs.New(errs.Unavailable, "%s: %w", d.shown, err)
	}
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
