package cdc

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
)

// KindJetStream is the kind of sinks that publish to a stream of NATS.
const KindJetStream registry.Kind = "cdc.sink.jetstream"

// JetStreamConfig configures a cdc.sink.jetstream entry.
type JetStreamConfig struct {
	SinkConfig `yaml:",inline"`
	// URL is where the servers are: nats, tls, ws or wss, several with commas between them.
	URL string `yaml:"url" secret:"true"`
	// Credentials is the path of a file with a JWT and a key, from the app directory.
	Credentials string `yaml:"credentials"`
	Token       string `yaml:"token" secret:"true"`
	// TLS says how the connection is secured, if it is.
	TLS TLSConfig `yaml:"tls"`
	// Stream is the stream that is published to. It is created if it does not exist.
	Stream string `yaml:"stream"`
	// Subject is where changes go, with {schema} and {table} in it.
	Subject string `yaml:"subject"`
	// SchemaSubject is where changes of tables go, and the marks of snapshots. Left out, it is _schema behind the part of
	// Subject that is the same for all tables.
	SchemaSubject string `yaml:"schema_subject"`
}

// TLSConfig says how a connection is secured. It is if one of the fields is set.
type TLSConfig struct {
	// Enabled secures the connection with what the machine trusts.
	Enabled bool `yaml:"enabled"`
	// CA is the path of the certificates that are trusted instead, Cert and Key those of the client's own, from the app
	// directory.
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// IsSet reports whether the connection is to be secured.
func (c TLSConfig) IsSet() bool { return c != TLSConfig{} }

func (c TLSConfig) validate(p *registry.Problems) {
	if (c.Cert == "") != (c.Key == "") {
		p.Addf("tls.cert", "give both tls.cert and tls.key, or none")
	}
}

// streamName is what NATS and file systems take.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

// The placeholders of subjects and topics.
const (
	SchemaPlaceholder = "{schema}"
	TablePlaceholder  = "{table}"
)

// Validate implements registry.Config.
func (c *JetStreamConfig) Validate() error {
	var p registry.Problems
	c.validate(&p)
	if c.URL == "" {
		p.Addf("url", "is required: give the address of the NATS servers, such as nats://host:4222")
	} else if !isNATS(c.URL) {
		p.Addf("url", "is no address of NATS servers: write nats://host:4222 or tls://host:4222, several with commas between them")
	}
	if c.Credentials != "" && c.Token != "" {
		p.Addf("token", "give either credentials or token, not both")
	}
	c.TLS.validate(&p)
	if c.Stream == "" {
		p.Addf("stream", "is required: give the name of the stream, which is created if it does not exist")
	} else if !streamName.MatchString(c.Stream) {
		p.Addf("stream", "%q is not the name of a stream: use letters, digits, _ and -", c.Stream)
	}
	validateSubject(&p, "subject", c.Subject, SchemaPlaceholder, TablePlaceholder)
	if c.SchemaSubject != "" {
		validateSubject(&p, "schema_subject", c.SchemaSubject)
	}
	return p.Err()
}

// isNATS reports whether text is a list of addresses.
func isNATS(text string) bool {
	for one := range strings.SplitSeq(text, ",") {
		at, err := url.Parse(strings.TrimSpace(one))
		if err != nil || at.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, at.Scheme) {
			return false
		}
	}
	return true
}

// validateSubject checks a subject: https://docs.nats.io/nats-concepts/subjects.
func validateSubject(p *registry.Problems, field, subject string, placeholders ...string) {
	rest, ok := filledIn(p, field, subject, placeholders)
	switch {
	case !ok:
	case strings.ContainsAny(rest, " \t\r\n*>"):
		p.Addf(field, "%q has a space or a wildcard in it", subject)
	case slices.Contains(strings.Split(rest, "."), ""):
		p.Addf(field, "%q has nothing before, between or behind its dots", subject)
	case strings.HasPrefix(rest, "$"):
		p.Addf(field, "%q begins with $, as subjects of the server itself do", subject)
	}
}

// filledIn returns a template with its placeholders replaced, false if that was a problem.
func filledIn(p *registry.Problems, field, template string, placeholders []string) (rest string, ok bool) {
	if template == "" {
		p.Addf(field, "is required: write one like shop.{schema}.{table}")
		return "", false
	}
	rest = template
	for _, placeholder := range placeholders {
		rest = strings.ReplaceAll(rest, placeholder, "x")
	}
	if strings.ContainsAny(rest, "{}") {
		if len(placeholders) == 0 {
			p.Addf(field, "%q has a placeholder, and here is none to be replaced", template)
		} else {
			p.Addf(field, "%q has a placeholder that is not known: use %s", template, registry.Or(placeholders))
		}
		return "", false
	}
	return rest, true
}

// OwnSubject returns SchemaSubject, or what stands for it.
func (c *JetStreamConfig) OwnSubject() string {
	if c.SchemaSubject != "" {
		return c.SchemaSubject
	}
	return ownName(c.Subject)
}

// ownName returns _schema behind the part of a template that is the same for all tables.
func ownName(template string) string {
	common := []string{}
	for token := range strings.SplitSeq(template, ".") {
		if strings.Contains(token, "{") {
			break
		}
		common = append(common, token)
	}
	return strings.Join(append(common, "_schema"), ".")
}

// Shown returns the hosts of the servers, and the stream: there may be secrets in all other parts of the URL.
func (c *JetStreamConfig) Shown() string {
	var hosts []string
	for one := range strings.SplitSeq(c.URL, ",") {
		if at, err := url.Parse(strings.TrimSpace(one)); err == nil {
			hosts = append(hosts, at.Scheme+"://"+at.Host)
		}
	}
	return fmt.Sprintf("%s stream %s", strings.Join(hosts, ","), c.Stream)
}
