package cdc

import (
	"encoding/base64"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// KindWebhook is the kind of sinks that deliver by HTTP.
const KindWebhook registry.Kind = "cdc.sink.webhook"

// WebhookConfig configures a cdc.sink.webhook entry.
type WebhookConfig struct {
	SinkConfig `yaml:",inline"`
	// URL is where batches are posted to, by http or https.
	URL string `yaml:"url" secret:"true"`
	// Headers are sent with each request.
	Headers map[string]string `yaml:"headers" secret:"true"`
	// Secret is the key of the signature; "" means that there is none. What begins with whsec_ is base64 from there on.
	Secret string `yaml:"secret" secret:"true"`
	// Timeout is how long an answer may take. Default 10s.
	Timeout unit.Duration `yaml:"timeout"`
}

// SetDefaults implements registry.Config.
func (c *WebhookConfig) SetDefaults() {
	c.SinkConfig.SetDefaults()
	c.Timeout = unit.Duration(10 * time.Second)
}

// Validate implements registry.Config.
func (c *WebhookConfig) Validate() error {
	var p registry.Problems
	c.validate(&p)
	switch at, err := url.Parse(c.URL); {
	case c.URL == "":
		p.Addf("url", "is required: give the address that batches are posted to, http or https")
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		p.Addf("url", "is no address that can be posted to: write http://host/path or https://host/path")
	}
	for name, value := range c.Headers {
		switch {
		case !isHeaderName(name):
			p.Addf("headers."+name, "is not the name of a header")
		case ownHeader(name):
			p.Addf("headers."+name, "is set by the sink itself")
		case strings.ContainsAny(value, "\r\n\x00"):
			p.Addf("headers."+name, "has a line break in its value")
		}
	}
	if _, err := c.Key(); err != nil {
		p.Addf("secret", "%v", err)
	}
	if c.Timeout < unit.Duration(time.Millisecond) {
		p.Addf("timeout", "is %s, must be at least 1ms", c.Timeout)
	}
	return p.Err()
}

// The fewest bytes of a key that cannot be guessed.
const leastKey = 16

// Key returns the key of the signature, nil if there is none.
func (c *WebhookConfig) Key() ([]byte, error) {
	key := []byte(c.Secret)
	if encoded, ok := strings.CutPrefix(c.Secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errs.New(errs.Invalid, "is not base64 behind whsec_: leave that out, or encode the key")
		}
	}
	if c.Secret != "" && len(key) < leastKey {
		return nil, errs.New(errs.Invalid, "has %d bytes, must have at least %d", len(key), leastKey)
	}
	return key, nil
}

// Shown returns the scheme and the host of the URL: there may be secrets in all other parts.
func (c *WebhookConfig) Shown() string {
	at, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return at.Scheme + "://" + at.Host
}

// ownHeader reports whether a header is set by the sink.
func ownHeader(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	own := []string{"Content-Length", "Content-Type", "Host", "Idempotency-Key", "Transfer-Encoding", "Connection"}
	return slices.Contains(own, name) || strings.HasPrefix(name, "Webhook-") || strings.HasPrefix(name, "Wippy-")
}

// isHeaderName reports whether s is a token: https://www.rfc-editor.org/rfc/rfc9110#name-tokens.
func isHeaderName(s string) bool {
	for _, r := range s {
		word := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
		if !word {
			return false
		}
	}
	return s != ""
}
