package cdc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestWebhookConfig(t *testing.T) {
	t.Parallel()
	valid := func() *api.WebhookConfig {
		c := new(api.WebhookConfig)
		c.SetDefaults()
		c.Source = registry.ID{Namespace: "app", Name: "cdc"}
		c.URL = "https://ann:hidden@example.com/hidden?token=hidden"
		return c
	}
	require.NoError(t, valid().Validate())
	require.Equal(t, "https://example.com", valid().Shown())
	for want, spoil := range map[string]func(*api.WebhookConfig){
		"source: is required":                    func(c *api.WebhookConfig) { c.Source = registry.ID{} },
		"url: is required":                       func(c *api.WebhookConfig) { c.URL = "" },
		"url: is no address":                     func(c *api.WebhookConfig) { c.URL = "ftp://hidden.example" },
		"url: is no address that":                func(c *api.WebhookConfig) { c.URL = "https://[hidden" },
		"headers.a b: is not":                    func(c *api.WebhookConfig) { c.Headers = map[string]string{"a b": "c"} },
		"headers.webhook-id: is set by the sink": func(c *api.WebhookConfig) { c.Headers = map[string]string{"webhook-id": "c"} },
		"headers.x: has a line break":            func(c *api.WebhookConfig) { c.Headers = map[string]string{"x": "hidden\r\nb: c"} },
		"secret: has 6 bytes, must have":         func(c *api.WebhookConfig) { c.Secret = "hidden" },
		"secret: is not base64":                  func(c *api.WebhookConfig) { c.Secret = "whsec_hidden?" },
		"timeout: is 0s":                         func(c *api.WebhookConfig) { c.Timeout = 0 },
		"format: \"json\" is not known":          func(c *api.WebhookConfig) { c.Format = api.FormatJSON },
		"on_reject: \"skip\" is not known":       func(c *api.WebhookConfig) { c.OnReject = "skip" },
		"ops[1]: \"upsert\" is not known":        func(c *api.WebhookConfig) { c.Ops = []api.Op{api.OpInsert, "upsert"} },
		"tables: names \"a\" twice":              func(c *api.WebhookConfig) { c.Tables = []string{"a", "a"} },
		"batch.max_changes: is 0":                func(c *api.WebhookConfig) { c.Batch.MaxChanges = 0 },
		"batch.max_bytes: is 1 bytes":            func(c *api.WebhookConfig) { c.Batch.MaxBytes = 1 },
		"batch.max_wait: is -1ns":                func(c *api.WebhookConfig) { c.Batch.MaxWait = -1 },
		"retry.initial_delay: is 0s":             func(c *api.WebhookConfig) { c.Retry.InitialDelay = 0 },
		"retry.max_delay: is 1ns":                func(c *api.WebhookConfig) { c.Retry.MaxDelay = 1 },
		"retry.max_attempts: is -1":              func(c *api.WebhookConfig) { c.Retry.MaxAttempts = -1 },
	} {
		c := valid()
		spoil(c)
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
}

func TestJetStreamConfig(t *testing.T) {
	t.Parallel()
	valid := func() *api.JetStreamConfig {
		c := new(api.JetStreamConfig)
		c.SetDefaults()
		c.Source = registry.ID{Namespace: "app", Name: "cdc"}
		c.URL, c.Stream, c.Subject = "nats://ann:hidden@one:4222, tls://two", "SHOP", "shop.eu.{schema}.x{table}"
		return c
	}
	require.NoError(t, valid().Validate())
	require.Equal(t, "nats://one:4222,tls://two stream SHOP", valid().Shown())
	require.Equal(t, "shop.eu._schema", valid().OwnSubject())
	for want, spoil := range map[string]func(*api.JetStreamConfig){
		"source: is required":         func(c *api.JetStreamConfig) { c.Source = registry.ID{} },
		"url: is required":            func(c *api.JetStreamConfig) { c.URL = "" },
		"url: is no address of":       func(c *api.JetStreamConfig) { c.URL = "nats://one,http://hidden" },
		"url: is no address of N":     func(c *api.JetStreamConfig) { c.URL = "nats://[hidden" },
		"token: give either":          func(c *api.JetStreamConfig) { c.Token, c.Credentials = "hidden", "file" },
		"tls.cert: give both":         func(c *api.JetStreamConfig) { c.TLS.Key = "key.pem" },
		"stream: is required":         func(c *api.JetStreamConfig) { c.Stream = "" },
		"stream: \"a.b\" is not":      func(c *api.JetStreamConfig) { c.Stream = "a.b" },
		"subject: is required":        func(c *api.JetStreamConfig) { c.Subject = "" },
		"has a placeholder that":      func(c *api.JetStreamConfig) { c.Subject = "a.{row}" },
		"here is none to be replaced": func(c *api.JetStreamConfig) { c.SchemaSubject = "a.{table}" },
		"subject: \"a b\" has a sp":   func(c *api.JetStreamConfig) { c.Subject = "a b" },
		"subject: \"a.>\" has a s":    func(c *api.JetStreamConfig) { c.Subject = "a.>" },
		"subject: \"a..b\" has no":    func(c *api.JetStreamConfig) { c.Subject = "a..b" },
		"subject: \"$JS.a\" begins":   func(c *api.JetStreamConfig) { c.Subject = "$JS.a" },
		"schema_subject: \"{table}\"": func(c *api.JetStreamConfig) { c.SchemaSubject = "{table}" },
	} {
		c := valid()
		spoil(c)
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
	c := valid()
	c.Subject = "{table}"
	require.Equal(t, "_schema", c.OwnSubject())
	c.SchemaSubject = "tables"
	require.Equal(t, "tables", c.OwnSubject())
}

// A sink that could not go on where it was is refused before anything runs.
func TestSinkNeedsASourceThatKeeps(t *testing.T) {
	t.Parallel()
	database := registry.ID{Namespace: "app", Name: "db"}
	for want, test := range map[string]struct {
		source registry.Config
		sink   api.SinkConfig
		name   string
	}{
		"source: the entry \"app:cdc\" does not keep what has committed": {source: &api.SQLiteConfig{}},
		"source: the entry \"app:cdc\" has a temporary slot":             {source: &api.PostgresConfig{Temporary: true}},
		"on_reject: park writes to the database": {
			source: &api.PostgresConfig{}, sink: api.SinkConfig{OnReject: api.OnRejectPark},
		},
		"name: \"app:größe\" is the name of a consumer": {source: &api.SQLiteConfig{Durable: true}, name: "größe"},
		"name: \"app:" + strings.Repeat("a", 125):       {source: &api.SQLiteConfig{Durable: true}, name: strings.Repeat("a", 125)},
		"": {
			source: &api.PostgresConfig{DBResource: database}, sink: api.SinkConfig{OnReject: api.OnRejectPark},
		},
	} {
		test.sink.Source = registry.ID{Namespace: "app", Name: "cdc"}
		if test.name == "" {
			test.name = "sink"
		}
		err := test.sink.CheckLinks(registry.ID{Namespace: "app", Name: test.name}, func(id registry.ID) registry.Config {
			require.Equal(t, test.sink.Source, id)
			return test.source
		})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	var missing api.SinkConfig
	require.NoError(t, missing.CheckLinks(registry.ID{Namespace: "app", Name: "sink"}, func(registry.ID) registry.Config { return nil }),
		"an entry that is not there is told elsewhere")
}

func TestKafkaConfig(t *testing.T) {
	t.Parallel()
	valid := func() *api.KafkaConfig {
		c := new(api.KafkaConfig)
		c.SetDefaults()
		c.Source = registry.ID{Namespace: "app", Name: "cdc"}
		c.Brokers, c.Topic = []string{"kafka.example.com:9092", "[::1]:9092"}, "shop.{schema}.{table}"
		return c
	}
	require.NoError(t, valid().Validate())
	require.Equal(t, "shop._schema", valid().OwnTopic())
	require.Equal(t, "kafka.example.com:9092,[::1]:9092 topic shop.{schema}.{table}", valid().Shown())
	sasl := func(change func(*api.SASLConfig)) func(*api.KafkaConfig) {
		return func(c *api.KafkaConfig) {
			c.SASL = api.SASLConfig{Mechanism: api.SASLPlain, Username: "ann", Password: "hidden"}
			change(&c.SASL)
		}
	}
	for want, spoil := range map[string]func(*api.KafkaConfig){
		"source: is required":            func(c *api.KafkaConfig) { c.Source = registry.ID{} },
		"brokers: is required":           func(c *api.KafkaConfig) { c.Brokers = nil },
		"brokers[1]: is no address":      func(c *api.KafkaConfig) { c.Brokers[1] = "kafka.example.com" },
		"brokers[1]: is no address of":   func(c *api.KafkaConfig) { c.Brokers[1] = "kafka://hidden@example.com:9092" },
		"brokers[1]: is no address of a": func(c *api.KafkaConfig) { c.Brokers[1] = "kafka.example.com:0" },
		"tls.cert: give both":            func(c *api.KafkaConfig) { c.TLS.Key = "key.pem" },
		"sasl.mechanism: \"md5\" is not": sasl(func(c *api.SASLConfig) { c.Mechanism = "md5" }),
		"sasl.username: is required":     sasl(func(c *api.SASLConfig) { c.Username = "" }),
		"sasl.password: is required":     sasl(func(c *api.SASLConfig) { c.Password = "" }),
		"topic: is required":             func(c *api.KafkaConfig) { c.Topic = "" },
		"has a placeholder that":         func(c *api.KafkaConfig) { c.Topic = "a.{row}" },
		"topic: \"a b\" is not the name": func(c *api.KafkaConfig) { c.Topic = "a b" },
		"topic: \"..\" is not the name":  func(c *api.KafkaConfig) { c.Topic = ".." },
		"is longer than the 249 bytes":   func(c *api.KafkaConfig) { c.Topic = strings.Repeat("a", 250) },
		"schema_topic: \"{table}\"":      func(c *api.KafkaConfig) { c.SchemaTopic = "{table}" },
		"max_message_bytes: is 10 bytes": func(c *api.KafkaConfig) { c.MaxMessageBytes = 10 },
	} {
		c := valid()
		spoil(c)
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hidden")
	}
}
