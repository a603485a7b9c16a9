package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/sink/webhook"
)

var hookID = registry.ID{Namespace: "app", Name: "hook"}

// hook returns the destination of a configuration.
func hook(t *testing.T, address string, configure ...func(*api.WebhookConfig)) sink.Destination {
	t.Helper()
	config := new(api.WebhookConfig)
	config.SetDefaults()
	config.Source = registry.ID{Namespace: "app", Name: "cdc"}
	config.URL = address
	for _, f := range configure {
		f(config)
	}
	require.NoError(t, config.Validate())
	d, err := webhook.Kind(hookID, config).Open(sink.Settings{Encoder: encode.New()})
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// serve answers requests until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// records returns n records.
func records(n int) []sink.Record {
	table := &sqlapi.Table{Schema: "main", Name: `a"b`, Columns: []sqlapi.Column{{Name: "id"}, {Name: "v"}}, Key: []int{0}}
	tx := &api.Transaction{Source: registry.ID{Namespace: "app", Name: "cdc"}, Generation: "5e1f", Sequence: 3, LSN: "3"}
	all := make([]sink.Record, n)
	for i := range all {
		c := &api.Change{
			Op: api.OpUpdate, Table: table, Transaction: tx, Index: i,
			Before: []sqlapi.Value{sqlapi.IntegerValue(int64(i)), sqlapi.TextValue("old")},
			After:  []sqlapi.Value{sqlapi.IntegerValue(int64(i)), sqlapi.TextValue("new")},
		}
		all[i] = sink.Record{Change: c, Cursor: c.Cursor(), Value: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return all
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		kind     errs.Kind
		rejected bool
		cure     string
	}{
		200: {}, 201: {}, 202: {}, 204: {},
		304: {kind: errs.Invalid, cure: "write the new address into url"},
		400: {kind: errs.Unknown, rejected: true}, 409: {kind: errs.Unknown, rejected: true}, 413: {kind: errs.Unknown, rejected: true},
		422: {kind: errs.Unknown, rejected: true},
		401: {kind: errs.PermissionDenied, cure: "look at secret and headers"}, 403: {kind: errs.PermissionDenied, cure: "look at secret and headers"},
		404: {kind: errs.NotFound, cure: "look at url"}, 405: {kind: errs.NotFound, cure: "look at url"}, 410: {kind: errs.NotFound, cure: "look at url"},
		408: {kind: errs.Unavailable}, 425: {kind: errs.Unavailable}, 429: {kind: errs.Unavailable},
		500: {kind: errs.Unavailable}, 502: {kind: errs.Unavailable}, 503: {kind: errs.Unavailable}, 599: {kind: errs.Unavailable},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if status >= 400 {
				_, _ = io.WriteString(w, " why\x1b[31m not\n"+strings.Repeat("z", 5000))
			}
		})
		confirmed, err := hook(t, address+"/path?token=hidden").Deliver(t.Context(), records(3))
		if status < 300 {
			require.NoError(t, err, status)
			require.Equal(t, 3, confirmed)
			continue
		}
		require.Zero(t, confirmed)
		require.Equal(t, want.kind, errs.KindOf(err), status)
		rejected := new(sink.RejectedError)
		require.Equal(t, want.rejected, strings.Contains(fmt.Sprintf("%T", err), "RejectedError"), status)
		if want.rejected {
			require.ErrorAs(t, err, &rejected)
			require.False(t, rejected.One)
		}
		require.ErrorContains(t, err, strconv.Itoa(status))
		require.ErrorContains(t, err, want.cure)
		require.NotContains(t, err.Error(), "hidden")
		require.NotContains(t, err.Error(), "\x1b")
		if status >= 400 {
			require.ErrorContains(t, err, `: why\x1b[31m not zzz`, "on one line, and no line break to be escaped once more by the log")
		}
		require.Less(t, len(err.Error()), 500)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][2]time.Duration{
		"7": {7 * time.Second, 7 * time.Second}, " 0 ": {0, 0},
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): {30 * time.Minute, time.Hour},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		_, err := hook(t, address).Deliver(t.Context(), records(1))
		after := new(sink.RetryAfterError)
		require.ErrorAs(t, err, &after)
		require.GreaterOrEqual(t, after.Pause, want[0])
		require.LessOrEqual(t, after.Pause, want[1])
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
	}
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "soon")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := hook(t, address).Deliver(t.Context(), records(1))
	require.NotErrorAs(t, err, new(*sink.RetryAfterError))
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
}

// A redirect is followed if it stays with the host and keeps method and body, and never takes a secret to another.
func TestRedirects(t *testing.T) {
	t.Parallel()
	strangers := 0
	stranger := serve(t, func(http.ResponseWriter, *http.Request) { strangers++ })
	var arrived []string
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/moved": 307, "/kept": 308, "/found": 302, "/other": 301, "/away": 307, "/loop": 307}[r.URL.Path]
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, stranger, status)
		case "/loop":
			http.Redirect(w, r, "/loop", status)
		case "/end":
			body, _ := io.ReadAll(r.Body)
			arrived = append(arrived, r.Method+" "+string(body))
		default:
			http.Redirect(w, r, "/end", status)
		}
	})
	for path, followed := range map[string]bool{
		"/moved": true, "/kept": true, "/found": false, "/other": false, "/away": false, "/loop": false,
	} {
		arrived = nil
		_, err := hook(t, address+path).Deliver(t.Context(), records(2))
		if followed {
			require.NoError(t, err, path)
			require.Equal(t, []string{`POST [{"n":0},{"n":1}]`}, arrived, path)
			continue
		}
		require.Equal(t, errs.Invalid, errs.KindOf(err), path)
		require.ErrorContains(t, err, "redirects are followed only to the same scheme and host, with 307 or 308", path)
		require.Empty(t, arrived, path)
	}
	require.Zero(t, strangers)
}

// A receiver checks the signature with any library of standardwebhooks.com, and drops what it has by name or cursor.
func TestRequest(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	var requests []*http.Request
	var bodies []string
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests, bodies = append(requests, r), append(bodies, string(body))
	})
	d := hook(t, strings.Replace(address, "http://", "http://ann:word@", 1)+"/in?x=1", func(c *api.WebhookConfig) {
		c.Secret = "whsec_" + base64.StdEncoding.EncodeToString(key)
		c.Headers = map[string]string{"X-Tenant": "7"}
	})
	batch := records(3)
	for range 2 {
		_, err := d.Deliver(t.Context(), batch)
		require.NoError(t, err)
	}
	_, err := d.Deliver(t.Context(), batch[:2])
	require.NoError(t, err)

	r := requests[0]
	require.Equal(t, http.MethodPost, r.Method)
	require.Equal(t, "/in?x=1", r.URL.String())
	user, password, _ := r.BasicAuth()
	require.Equal(t, "ann word", user+" "+password)
	require.Equal(t, `[{"n":0},{"n":1},{"n":2}]`, bodies[0])
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Tenant": "7", "Wippy-Sink": "app:hook", "Wippy-Source": "app:cdc", "Wippy-Changes": "3",
		"Wippy-First-Cursor": batch[0].Cursor, "Wippy-Last-Cursor": batch[2].Cursor,
	} {
		require.Equal(t, want, r.Header.Get(name), name)
	}
	id := r.Header.Get("Webhook-Id")
	require.NotEmpty(t, id)
	require.Equal(t, id, r.Header.Get("Idempotency-Key"))
	require.Equal(t, id, requests[1].Header.Get("Webhook-Id"), "the same batch has the same name")
	require.NotEqual(t, id, requests[2].Header.Get("Webhook-Id"))

	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+r.Header.Get("Webhook-Timestamp")+"."+bodies[0])
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), r.Header.Get("Webhook-Signature"))

	plain := hook(t, address, func(c *api.WebhookConfig) { c.Format = api.FormatCloudEvents })
	_, err = plain.Deliver(t.Context(), batch)
	require.NoError(t, err)
	require.Empty(t, requests[3].Header.Get("Webhook-Signature"))
	require.Equal(t, "application/cloudevents-batch+json", requests[3].Header.Get("Content-Type"))
}

// A snapshot that begins anew has batches of other names, although they may have the same cursors.
func TestSnapshotsThatBeginAnew(t *testing.T) {
	t.Parallel()
	var names []string
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { names = append(names, r.Header.Get("Webhook-Id")) })
	d := hook(t, address)
	for i := range 4 {
		batch := records(3)
		for n := range batch {
			c := batch[n].Change
			c.Op, c.Before = api.OpSnapshot, nil
			c.Transaction.CommittedAt = time.Unix(1700000000, int64(i/2))
			batch[n].Cursor = c.Cursor()
		}
		_, err := d.Deliver(t.Context(), batch)
		require.NoError(t, err)
	}
	require.Equal(t, names[0], names[1])
	require.Equal(t, names[2], names[3])
	require.NotEqual(t, names[1], names[2])
}

// In the format flat a row that is gone is null, so that a record says which row it is about.
func TestFlat(t *testing.T) {
	t.Parallel()
	var got []map[string]any
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = nil
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			got = []map[string]any{{"error": err.Error()}}
		}
	})
	batch := records(5)
	batch[0].Change.Op, batch[0].Change.After, batch[0].Value = api.OpDelete, nil, []byte("null")
	batch[1].Change.After[0] = sqlapi.IntegerValue(9)
	batch[2].Change = &api.Change{Op: api.OpEnd, Transaction: batch[2].Change.Transaction}
	for i, name := range map[int]string{3: "\xff", 4: "base64:/w=="} { // no two names are written alike
		table := *batch[i].Change.Table
		table.Name = name
		batch[i].Change.Table = &table
	}
	_, err := hook(t, address, func(c *api.WebhookConfig) { c.Format = api.FormatFlat }).Deliver(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, []map[string]any{
		{"cursor": batch[0].Cursor, "op": "delete", "schema": "main", "table": `a"b`, "key": map[string]any{"id": 0.0}, "row": nil},
		{
			"cursor": batch[1].Cursor, "op": "update", "schema": "main", "table": `a"b`,
			"key": map[string]any{"id": 1.0}, "new_key": map[string]any{"id": 9.0}, "row": map[string]any{"n": 1.0},
		},
		{"cursor": batch[2].Cursor, "op": "end", "key": nil, "row": map[string]any{"n": 2.0}},
		{
			"cursor": batch[3].Cursor, "op": "update", "schema": "main", "table": "base64:/w==",
			"key": map[string]any{"id": 3.0}, "row": map[string]any{"n": 3.0},
		},
		{
			"cursor": batch[4].Cursor, "op": "update", "schema": "main", "table": "base64:YmFzZTY0Oi93PT0=",
			"key": map[string]any{"id": 4.0}, "row": map[string]any{"n": 4.0},
		},
	}, got)
}

// An endpoint may answer with what it was asked.
func TestAnswersThatRepeatTheRequest(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 404, 500} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			_, _ = fmt.Fprintln(w, "no", r.Method, r.RequestURI, token, r.URL.RawQuery, r.Header.Get("X-Key"))
			_ = json.NewEncoder(w).Encode(map[string]string{"key": r.Header.Get("X-Key"), "authorization": r.Header.Get("Authorization")})
		})
		_, err := hook(t, address+"/in/hidden?token=hidden", func(c *api.WebhookConfig) {
			c.Headers = map[string]string{"Authorization": "Bearer hidden-1234", "X-Key": `hidden "5678"`}
		}).Deliver(t.Context(), records(1))
		require.ErrorContains(t, err, "no POST [hidden] [hidden] [hidden] [hidden]")
		require.NotContains(t, err.Error(), "hidden-")
		require.NotContains(t, err.Error(), "5678")
		require.NotContains(t, err.Error(), "/in/")
		require.NotContains(t, err.Error(), "token=")

		_, err = hook(t, strings.Replace(address, "http://", "http://ann:hidden-word@", 1)).Deliver(t.Context(), records(1))
		require.ErrorContains(t, err, "no POST / [hidden]")
		require.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte("ann:hidden-word")))
	}
}

func TestNothingSecretIsShown(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	hanging := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-never:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(never) })
	_, port, _ := strings.Cut(strings.TrimPrefix(hanging, "http://"), ":")
	for _, address := range []string{
		"http://ann:hidden@127.0.0.1:1/hidden?token=hidden", "http://ann:hidden@127.0.0.1:" + port + "/hidden?token=hidden",
		"https://ann:hidden@127.0.0.1:" + port + "/hidden", "http://ann:hidden@host.invalid/hidden",
	} {
		d := hook(t, address, func(c *api.WebhookConfig) { c.Timeout = unit.Duration(300 * time.Millisecond) })
		_, err := d.Deliver(t.Context(), records(1))
		require.Error(t, err)
		require.True(t, errs.Retryable(err), "%v", err)
		require.NotContains(t, err.Error(), "hidden")
	}
}
