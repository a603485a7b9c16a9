package cdc

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// KindKafka is the kind of sinks that produce to topics of Kafka.
const KindKafka registry.Kind = "cdc.sink.kafka"

// KafkaConfig configures a cdc.sink.kafka entry.
type KafkaConfig struct {
	SinkConfig `yaml:",inline"`
	// Brokers are where some of the brokers are, as host:port: they tell about the others.
	Brokers []string `yaml:"brokers"`
	// TLS says how connections are secured, if they are.
	TLS TLSConfig `yaml:"tls"`
	// SASL says who the sink is, if the brokers ask for it.
	SASL SASLConfig `yaml:"sasl"`
	// Topic is where changes go, with {schema} and {table} in it or without.
	Topic string `yaml:"topic"`
	// SchemaTopic is where changes of tables go, and the marks of snapshots. Left out, it is _schema behind the part of
	// Topic that is the same for all tables.
	SchemaTopic string `yaml:"schema_topic"`
	// MaxMessageBytes is what the topics take at once, their max.message.bytes. Default 976KiB.
	MaxMessageBytes unit.Size `yaml:"max_message_bytes"`
}

// The mechanisms of SASLConfig.
const (
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// SASLConfig is a name and a password.
type SASLConfig struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512.
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`
	Password  string `yaml:"password" secret:"true"`
}

// IsSet reports whether the sink says who it is.
func (c SASLConfig) IsSet() bool { return c != SASLConfig{} }

func (c SASLConfig) validate(p *registry.Problems) {
	if !c.IsSet() {
		return
	}
	registry.CheckWord(p, "sasl.mechanism", c.Mechanism, SASLPlain, SASLScramSHA256, SASLScramSHA512)
	if c.Username == "" {
		p.Addf("sasl.username", "is required with sasl")
	}
	if c.Password == "" {
		p.Addf("sasl.password", "is required with sasl")
	}
}

// How large messages can be: the client takes no less, and a request no more.
const (
	minMessageBytes = unit.KiB
	maxMessageBytes = 64 * unit.MiB
)

// topicName is what Kafka takes.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// longestTopic is how long the name of a topic can be.
const longestTopic = 249

// SetDefaults implements registry.Config.
func (c *KafkaConfig) SetDefaults() {
	c.SinkConfig.SetDefaults()
	c.MaxMessageBytes = 976 * unit.KiB
}

// Validate implements registry.Config.
func (c *KafkaConfig) Validate() error {
	var p registry.Problems
	c.validate(&p)
	if len(c.Brokers) == 0 {
		p.Addf("brokers", "is required: write one or some like [kafka.example.com:9092]")
	}
	for i, broker := range c.Brokers {
		if !isHostPort(broker) {
			p.Addf(fmt.Sprintf("brokers[%d]", i), "is no address of a broker: write host:port")
		}
	}
	c.TLS.validate(&p)
	c.SASL.validate(&p)
	validateTopic(&p, "topic", c.Topic, SchemaPlaceholder, TablePlaceholder)
	if c.SchemaTopic != "" {
		validateTopic(&p, "schema_topic", c.SchemaTopic)
	}
	if c.MaxMessageBytes < minMessageBytes || c.MaxMessageBytes > maxMessageBytes {
		p.Addf("max_message_bytes", "is %s, must be %s to %s", c.MaxMessageBytes, minMessageBytes, maxMessageBytes)
	}
	return p.Err()
}

// isHostPort reports whether text is a host and the number of a port.
func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, " \t\r\n/@") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// validateTopic checks the name of a topic.
func validateTopic(p *registry.Problems, field, topic string, placeholders ...string) {
	rest, ok := filledIn(p, field, topic, placeholders)
	switch {
	case !ok:
	case !topicName.MatchString(rest):
		p.Addf(field, "%q is not the name of a topic: use letters, digits, and . _ -", topic)
	case rest == "." || rest == "..":
		p.Addf(field, "%q is not the name of a topic: there must be more than dots in it", topic)
	case len(rest) > longestTopic:
		p.Addf(field, "%q is longer than the %d bytes that a topic can have", topic, longestTopic)
	}
}

// OwnTopic returns SchemaTopic, or what stands for it.
func (c *KafkaConfig) OwnTopic() string {
	if c.SchemaTopic != "" {
		return c.SchemaTopic
	}
	return ownName(c.Topic)
}

// Shown returns the brokers, and the topic.
func (c *KafkaConfig) Shown() string {
	return fmt.Sprintf("%s topic %s", strings.Join(c.Brokers, ","), c.Topic)
}
