// Package webhook delivers changes by HTTP, signed as https://www.standardwebhooks.com describes.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// Kind returns what a sink of this configuration has of its own.
func Kind(id registry.ID, config *api.WebhookConfig) sink.Kind {
	return sink.Kind{Name: api.KindWebhook, Shown: config.Shown(), Open: func(s sink.Settings) (sink.Destination, error) {
		return open(id, config, s.Encoder)
	}}
}

// Destination is an endpoint that takes a batch in each request.
type Destination struct {
	id     registry.ID
	config *api.WebhookConfig
	shown  string
	secret []byte
	header http.Header
	// hide replaces what is secret in answers.
	hide   *strings.Replacer
	client *http.Client
	// encoder writes the names and keys of flat records.
	encoder api.Encoder
	body    []byte
}

var _ sink.Destination = (*Destination)(nil)

func open(id registry.ID, config *api.WebhookConfig, encoder api.Encoder) (*Destination, error) {
	secret, err := config.Key()
	if err != nil {
		return nil, err
	}
	d := &Destination{id: id, config: config, shown: config.Shown(), secret: secret, header: make(http.Header), encoder: encoder, hide: hiding(config)}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: config.Timeout.Std()}).DialContext,
		ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: config.Timeout.Std(),
	}
	d.client = &http.Client{Transport: transport, Timeout: config.Timeout.Std(), CheckRedirect: checkRedirect}
	d.header.Set("User-Agent", "wippy")
	d.header.Set("Content-Type", "application/json")
	if config.Format == api.FormatCloudEvents {
		d.header.Set("Content-Type", "application/cloudevents-batch+json")
	}
	d.header.Set("Wippy-Sink", id.String())
	d.header.Set("Wippy-Source", config.Source.String())
	for _, name := range slices.Sorted(maps.Keys(config.Headers)) {
		d.header.Set(name, config.Headers[name])
	}
	return d, nil
}

// most redirects that one request follows.
const mostRedirects = 5

// hiding replaces the values of headers, and the parts of the URL beside the host, in an answer that repeats what it was
// asked: with what they begin with, such as Bearer, and without.
func hiding(config *api.WebhookConfig) *strings.Replacer {
	secrets := slices.Collect(maps.Values(config.Headers))
	if at, err := url.Parse(config.URL); err == nil {
		password, _ := at.User.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(at.User.Username() + ":" + password))
		secrets = append(secrets, at.String(), at.RequestURI(), at.Path, at.RawQuery, at.User.String(), password, credentials)
	}
	for _, value := range slices.Clone(secrets) {
		secrets = append(secrets, value[strings.LastIndexByte(value, ' ')+1:])
		if quoted := strings.Trim(strconv.Quote(value), `"`); quoted != value {
			secrets = append(secrets, quoted)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the replacer takes the first that fits
	var pairs []string
	for _, value := range secrets {
		const shortest = 4 // what is shorter hides nothing, and is in most texts
		if len(value) >= shortest {
			pairs = append(pairs, value, "[hidden]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// checkRedirect follows a redirect that keeps method and body, and stays with the host. All others are answers.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	if next.Method == http.MethodPost && next.URL.Host == first.URL.Host && next.URL.Scheme == first.URL.Scheme && len(via) <= mostRedirects {
		return nil
	}
	return http.ErrUseLastResponse
}

// Close implements sink.Destination.
func (d *Destination) Close() { d.client.CloseIdleConnections() }

// Deliver implements sink.Destination: records are confirmed together or not at all.
func (d *Destination) Deliver(ctx context.Context, records []sink.Record) (int, error) {
	request, err := d.request(ctx, records)
	if err != nil {
		return 0, err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return 0, d.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if err := d.judge(response); err != nil {
		return 0, err
	}
	return len(records), nil
}

// request is the request that delivers records.
func (d *Destination) request(ctx context.Context, records []sink.Record) (*http.Request, error) {
	d.body = d.body[:0]
	for i := range records {
		d.body = append(d.body, "[,"[min(i, 1)])
		if d.config.Format == api.FormatFlat {
			d.body = api.AppendEnvelope(d.body, d.encoder, records[i].Cursor, records[i].Change, records[i].Value)
		} else {
			d.body = append(d.body, records[i].Value...)
		}
	}
	d.body = append(d.body, ']')
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.config.URL, bytes.NewReader(d.body))
	if err != nil {
		return nil, errs.New(errs.Invalid, "%s: url cannot be used", d.shown)
	}
	request.Header = d.header.Clone()
	first, last := records[0].Cursor, records[len(records)-1].Cursor
	id := identify(d.id.String(), first, last, records[0].Change.Snapshot())
	for name, value := range map[string]string{
		"Idempotency-Key": id, "Webhook-Id": id,
		"Wippy-First-Cursor": first, "Wippy-Last-Cursor": last, "Wippy-Changes": strconv.Itoa(len(records)),
	} {
		request.Header.Set(name, value)
	}
	d.sign(request, id, time.Now())
	return request, nil
}

// identify names a batch: what comes again under the same name is the same.
func identify(id, first, last, snapshot string) string {
	sum := sha256.Sum256([]byte(id + " " + first + " " + last + " " + snapshot))
	return hex.EncodeToString(sum[:16])
}

// sign signs a request: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
func (d *Destination) sign(request *http.Request, id string, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	request.Header.Set("Webhook-Timestamp", at)
	if len(d.secret) == 0 {
		return
	}
	mac := hmac.New(sha256.New, d.secret)
	_, _ = io.WriteString(mac, id+"."+at+".") // a hash never fails
	_, _ = mac.Write(d.body)
	request.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// unreachable describes a request that has no answer, without the URL, in which there may be secrets.
func (d *Destination) unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return errs.New(errs.Timeout, "%s: no answer within %s (timeout)", d.shown, d.config.Timeout)
		}
		err = e.Err
	}
	return errs.New(errs.Unavailable, "%s: %w", d.shown, err)
}

// judge returns what an answer says, nil if it confirms.
func (d *Destination) judge(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 2000)) // what could be read is shown
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	status := response.StatusCode
	err := fmt.Errorf("%s: answered %d %s%s", d.shown, status, http.StatusText(status), d.shownBody(text))
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return retryAfter(response.Header.Get("Retry-After"), errs.Wrap(errs.Unavailable, err))
	case status >= 300 && status < 400:
		return errs.New(errs.Invalid, "%w; redirects are followed only to the same scheme and host, with 307 or 308: write the new address into url", err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return errs.New(errs.PermissionDenied, "%w; look at secret and headers of the sink", err)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return errs.New(errs.NotFound, "%w; look at url of the sink", err)
	default:
		return &sink.RejectedError{Err: err}
	}
}

// shownBody is the beginning of an answer, on one line.
func (d *Destination) shownBody(text []byte) string {
	line := printable.Line(strings.Join(strings.Fields(d.hide.Replace(string(text))), " "))
	const most = 200
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	if line == "" {
		return ""
	}
	return ": " + line
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(value string, err error) error {
	if seconds, bad := strconv.ParseUint(strings.TrimSpace(value), 10, 31); bad == nil {
		return &sink.RetryAfterError{Pause: time.Duration(seconds) * time.Second, Err: err}
	}
	if at, bad := http.ParseTime(value); bad == nil {
		return &sink.RetryAfterError{Pause: time.Until(at), Err: err}
	}
	return err
}
