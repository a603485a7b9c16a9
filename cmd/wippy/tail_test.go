package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

func TestChangesForPeople(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 250e6).Format("15:04:05.000")
	for _, c := range []struct{ change, line string }{
		{
			`{"op":"insert","relation":"users","after":{"id":1,"name":"ada","note":null},"key":{"id":1},"timestamp":1700000000.25}`,
			`insert   users id=1 name="ada" note=null`,
		},
		{
			`{"op":"update","relation":"users","before":{"id":1,"name":"ada","age":36},"after":{"id":1,"name":"ida","age":36},"key":{"id":1},"timestamp":1700000000.25}`,
			`update   users id=1 name="ada"→"ida"`,
		},
		{ // the old row is not known, as on Postgres
			`{"op":"update","relation":"shop.users","after":{"id":1,"name":"ida"},"key":{"id":1},"timestamp":1700000000.25}`,
			`update   shop.users id=1 id=1 name="ida"`,
		},
		{`{"op":"delete","relation":"users","before":{"id":1},"key":{"id":1},"timestamp":1700000000.25}`, `delete   users id=1`},
		{`{"op":"truncate","relation":"users","timestamp":1700000000.25}`, `truncate users`},
		{
			`{"op":"insert","relation":"a\\u001b[2J","after":{"b\\u001b":"\\u001b[2J","long":"` + strings.Repeat("x", 99) + `"},"timestamp":1700000000.25}`,
			`insert   a\x1b[2J b\x1b="\u001b[2J" long="` + strings.Repeat("x", 59) + `…`,
		},
	} {
		change := strings.ReplaceAll(c.change, `\\u`, `\u`)
		require.Equal(t, at+" "+c.line, wippy.ChangeText(false, change))
		require.Contains(t, wippy.ChangeText(true, change), "\x1b[")
	}
}

func TestABarTellsRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	require.Equal(t, "[============            ]  50% 10 changes, 1/s, 10s left", wippy.CatchingUp("10 changes, 1/s", 50, 100, 10*time.Second))
	require.Equal(t, "[                        ]   0% none", wippy.CatchingUp("none", 0, 100, time.Second))
	require.Equal(t, "[========================] 100% all, 0s left", wippy.CatchingUp("all", 100, 100, time.Second))
}

func TestEventsAreReadAsBrowsersDo(t *testing.T) {
	t.Parallel()
	body := "retry: 2000\n\nid: start\n\n:\n\nid: one\ndata: {\"a\": 1}\n\n: comment\nevent: gap\ndata: {}\n\nid: cut\ndata: off"
	var all [][3]string
	take := func(event [3]string) { all = append(all, event) }
	err := wippy.ReadEvents(t.Context(), io.NopCloser(strings.NewReader(body)), take)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "the app has ended the connection")
	require.Equal(t, [][3]string{{"start", "", ""}, {"one", "", `{"a": 1}`}, {"", "gap", "{}"}}, all)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	err = wippy.ReadEvents(ctx, io.NopCloser(strings.NewReader(body)), take)
	require.ErrorIs(t, err, stop)
}

// An output that takes its time does not cost the connection; an app that sends nothing any more does.
func TestOnlyTheSilenceOfTheAppEndsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		body, app := io.Pipe()
		go func() {
			for range 2 {
				_, _ = io.WriteString(app, "id: one\ndata: 1\n\n") // the test counts what has come
			}
		}()
		events, last := 0, time.Now()
		err := wippy.ReadEvents(t.Context(), body, func([3]string) {
			<-time.After(time.Hour)
			events++
			last = time.Now()
		})
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.Equal(t, 2, events)
		require.Equal(t, time.Minute, time.Since(last))
	})
}

// fakeApp answers each request for changes with the next of some bodies, and keeps what was asked.
type fakeApp struct {
	replayable bool
	bodies     []string

	mu    sync.Mutex
	asked []string
}

func (f *fakeApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/sources" {
		_, _ = fmt.Fprintf(w, `{"sources": [{"id": "app:cdc", "capabilities": {"replayable": %t}}]}`, f.replayable)
		return
	}
	if r.URL.Path == "/api/sources/app:cdc/tables" {
		_, _ = io.WriteString(w, `{"tables": ["main.a", "main.orders"]}`)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.URL.Path+"?"+r.URL.RawQuery+" "+r.Header.Get("Authorization"))
	if len(f.bodies) < len(f.asked) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error": {"kind": "INVALID", "message": "enough", "retryable": false}}`)
		return
	}
	_, _ = io.WriteString(w, f.bodies[len(f.asked)-1])
}

// tailOf runs wippy tail on a fake app.
func tailOf(t *testing.T, app *fakeApp, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(app)
	defer server.Close()
	var out, err strings.Builder
	code = wippy.Run(append([]string{"tail", "--addr", server.URL}, args...), &out, &err, nil, nil)
	return code, out.String(), err.String()
}

const (
	firstCursor  = "g-0000000000000001-00000000"
	secondCursor = "g-0000000000000002-00000000"
)

func TestTailGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("correct-horse-battery\n"), 0o600))
	app := &fakeApp{replayable: true, bodies: []string{
		"id: " + firstCursor + "\ndata: 1\n\n", "id: " + secondCursor + "\ndata: 2\n\nevent: end\ndata: {\"kind\": \"UNAVAILABLE\", \"message\": \"fell behind\", \"retryable\": true}\n\n",
	}}
	code, stdout, stderr := tailOf(t, app, "--tables", "a,b", "--snapshot", "--token-file", file)
	require.Equal(t, 1, code)
	require.Equal(t, "1\n2\n", stdout)
	require.Equal(t, []string{
		"/api/sources/app:cdc/changes?format=json&snapshot=true&tables=a%2Cb Bearer correct-horse-battery",
		"/api/sources/app:cdc/changes?after=" + firstCursor + "&format=json&tables=a%2Cb Bearer correct-horse-battery",
		"/api/sources/app:cdc/changes?after=" + secondCursor + "&format=json&tables=a%2Cb Bearer correct-horse-battery",
	}, app.asked)
	require.Equal(t, "wippy: tail: nothing comes of a table that does not exist, or that the source does not capture: b\nwippy: tail: the app has ended the connection; waiting for it\nwippy: tail: app:cdc runs again: goes on where it was\n"+
		"wippy: tail: fell behind; waiting for it\nwippy: tail: enough\n", stderr)
	require.NotContains(t, stderr, "horse")
}

func TestTailOfALiveSourceSaysWhatItMisses(t *testing.T) {
	t.Parallel()
	app := &fakeApp{bodies: []string{"id: " + firstCursor + "\ndata: 1\n\n", "id: " + secondCursor + "\ndata: 2\n\n"}}
	_, stdout, stderr := tailOf(t, app, "--format", "flat")
	require.Equal(t, "1\n2\n", stdout)
	require.Equal(t, "/api/sources/app:cdc/changes?format=flat&snapshot=false ", app.asked[1])
	require.Contains(t, stderr, "runs again: goes on with what commits from now on; what was committed meanwhile is not told, for it is not durable\n")
}

// A stream that does not say where it begins takes the snapshot that a source has for the first stream of the app.
func TestTailSaysWhereItBegins(t *testing.T) {
	t.Parallel()
	for args, query := range map[string]string{
		"":                       "format=json&snapshot=false",
		"--snapshot=false":       "format=json&snapshot=false",
		"--snapshot":             "format=json&snapshot=true",
		"--after=" + firstCursor: "after=" + firstCursor + "&format=json",
		"--snapshot=false --after=" + firstCursor: "after=" + firstCursor + "&format=json",
	} {
		app := &fakeApp{replayable: true}
		tailOf(t, app, strings.Fields(args)...)
		require.Equal(t, []string{"/api/sources/app:cdc/changes?" + query + " "}, app.asked, args)
	}
	for args, message := range map[string]string{
		"--after=":                          "--after is empty: give a cursor, or leave it out",
		"--snapshot --after=" + firstCursor: "--snapshot and --after are both given: begin with the rows as they are or behind a cursor, not both",
	} {
		app := &fakeApp{replayable: true}
		code, _, stderr := tailOf(t, app, strings.Fields(args)...)
		require.Equal(t, 1, code)
		require.Equal(t, "wippy: tail: "+message+"\n", stderr)
		require.Empty(t, app.asked)
	}
}

func TestTailBeginsASnapshotAnew(t *testing.T) {
	t.Parallel()
	app := &fakeApp{replayable: true, bodies: []string{"id: g-0000000000000001-40000001\ndata: 1\n\n", ""}}
	_, _, stderr := tailOf(t, app, "--snapshot")
	require.Equal(t, app.asked[0], app.asked[1])
	require.Contains(t, stderr, "runs again: its snapshot begins anew\n")
}

func TestTailEndsWithAGap(t *testing.T) {
	t.Parallel()
	app := &fakeApp{replayable: true, bodies: []string{
		"event: gap\ndata: {\"kind\": \"UNAVAILABLE\", \"retryable\": true, \"cause\": \"external_write\", \"after\": \"" + firstCursor + "\", \"before\": \"" + secondCursor + "\"}\n\n",
	}}
	code, stdout, stderr := tailOf(t, app)
	require.Equal(t, 4, code)
	require.Empty(t, stdout)
	require.Equal(t, "wippy: tail: changes were lost (external_write) between "+firstCursor+" and "+secondCursor+
		": --snapshot begins anew, --after "+secondCursor+" goes on without them\n", stderr)
}

func TestTailOfSomethingElse(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var out, stderr strings.Builder
	require.Equal(t, 1, wippy.Run([]string{"tail", "--addr", server.URL}, &out, &stderr, nil, nil))
	require.Equal(t, "wippy: tail: what answers is no app of this version: 404 Not Found\n", stderr.String())
}

func TestATokenThatIsMissingOrWrong(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("correct-horse-battery\n"), 0o600))
	var out, without, wrong strings.Builder
	require.Equal(t, 1, wippy.Run([]string{"status", "--addr", server.URL}, &out, &without, nil, nil))
	require.Equal(t, "wippy: status: the app at "+server.URL+" wants a token: give --token-file FILE, the file of its --http-token-file\n", without.String())
	require.Equal(t, 1, wippy.Run([]string{"tail", "--addr", server.URL, "--token-file", file}, &out, &wrong, nil, nil))
	require.Equal(t, "wippy: tail: the token in \""+file+"\" is not that of the app at "+server.URL+": give the file of its --http-token-file\n", wrong.String())
}
