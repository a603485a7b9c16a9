package kafka_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/certtest"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

func TestSASL(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{api.SASLPlain, api.SASLScramSHA256, api.SASLScramSHA512} {
		c := newCluster(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "ann", "right"))
		as := func(password string) func(*api.KafkaConfig) {
			return func(c *api.KafkaConfig) {
				c.SASL = api.SASLConfig{Mechanism: mechanism, Username: "ann", Password: password}
			}
		}
		right := c.open(t, as("right"))
		deliver(t, right, updates(t, 1, 3, 7))

		// The brokers of Kafka answer; this one closes the connection.
		c.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
			answer := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
			return answer, nil, true
		})
		n, err := c.open(t, as("hidden")).Deliver(t.Context(), updates(t, 4, 1, 7))
		require.Zero(t, n)
		require.Equal(t, errs.PermissionDenied, errs.KindOf(err), "%v", err)
		require.ErrorContains(t, err, "look at sasl of the sink")
		require.NotContains(t, err.Error(), "hidden")

		_, err = c.open(t, as("hidden")).Deliver(t.Context(), updates(t, 4, 1, 7))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hidden")
		deliver(t, right, updates(t, 4, 1, 7))
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := certtest.New(t)
	c := newCluster(t, kfake.TLS(certtest.Server(t, dir)))
	cert, key := filepath.Join(dir, certtest.Cert), filepath.Join(dir, certtest.Key)
	with := func(tls api.TLSConfig) sink.Destination {
		return c.open(t, func(c *api.KafkaConfig) { c.TLS = tls })
	}
	right := with(api.TLSConfig{CA: cert, Cert: cert, Key: key})
	deliver(t, right, updates(t, 1, 3, 7))
	right.Close() // and the connection can be had again
	deliver(t, right, updates(t, 4, 1, 7))
	for want, tls := range map[string]api.TLSConfig{
		"certificate signed by unknown authority": {Enabled: true}, "is TLS missing?": {},
		"": {CA: cert}, // the broker closes the connection, and what is known of that depends on what was written when
	} {
		n, err := with(tls).Deliver(t.Context(), updates(t, 5, 1, 7))
		require.Zero(t, n)
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.ErrorContains(t, err, want)
	}
}

func TestTopicsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "there"))
	in := func(topic string) sink.Destination {
		return c.open(t, func(c *api.KafkaConfig) { c.Topic = topic })
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "missing", Err: kerr.UnknownTopicOrPartition, Count: -1})
	missing := in("missing")
	_, err := missing.Deliver(t.Context(), updates(t, 1, 3, 7))
	for errs.Is(err, errs.Unavailable) { // brokers that are to make a topic take a while
		_, err = missing.Deliver(t.Context(), updates(t, 1, 3, 7))
	}
	require.Equal(t, errs.NotFound, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "create the topic")

	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "later", Err: kerr.UnknownTopicOrPartition, Count: 10})
	later := in("later")
	_, err = later.Deliver(t.Context(), updates(t, 1, 3, 7))
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "%v", err)
	for err != nil {
		_, err = later.Deliver(t.Context(), updates(t, 1, 3, 7))
		require.False(t, errs.Is(err, errs.NotFound), "%v", err)
	}

	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.Produce} {
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: "there", Err: kerr.TopicAuthorizationFailed, Count: -1})
		_, err = in("there").Deliver(t.Context(), updates(t, 1, 3, 7))
		require.Equal(t, errs.PermissionDenied, errs.KindOf(err), "%v", err)
		require.ErrorContains(t, err, "the rights to describe and write")
		fault.Remove()
	}
	deliver(t, in("there"), updates(t, 1, 3, 7))
}
