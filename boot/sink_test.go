package boot_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hooked is reloadable with a durable source and a sink that posts to an address.
func hooked(address string) string {
	return strings.NewReplacer(
		"tables: [a], lifecycle: {auto_start: true}}\n",
		"durable: true, tables: [a]}\n  - {name: hook, kind: cdc.sink.webhook, source: cdc, url: '"+address+"', "+
			"batch: {max_wait: 1ms}, lifecycle: {auto_start: true}}\n",
	).Replace(reloadable)
}

// collect returns the address of a server, and what it gets.
func collect(t *testing.T) (string, *buffer) {
	t.Helper()
	got := &buffer{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = got.Write(append(body, '\n'))
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func TestASinkThatNothingStartsIsTold(t *testing.T) {
	const told = `level=WARN msg="a sink is not started and delivers nothing: give it lifecycle: {auto_start: true}, or delete the entry" sink=app:hook`
	r := start(t, strings.Replace(hooked("http://127.0.0.1:1"), "1ms}, lifecycle: {auto_start: true}", "1ms}", 1))
	r.log.wait(t, told)
	r.change(t, "app.yaml", "1ms}}", "1ms}, lifecycle: {auto_start: true}}")
	r.hup(t, reloaded)
	require.Equal(t, []string{"is running cdc", "is running hook"}, r.services())
}

func TestASinkIsReloadedAndDeleted(t *testing.T) {
	address, got := collect(t)
	r := start(t, hooked(address))
	r.log.wait(t, `msg="service is running" service=app:hook`)
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES ('first')")
	got.wait(t, `"first"`)
	require.Contains(t, got.String(), `"before":null`)

	r.change(t, "app.yaml", "batch: {max_wait: 1ms}", "batch: {max_wait: 1ms}, format: flat")
	r.hup(t, reloaded)
	require.Equal(t, []string{"stopped hook", "is running hook"}, r.services())
	r.execute(t, "INSERT INTO a VALUES ('second')")
	got.wait(t, `"second"`)
	require.Contains(t, got.String(), `"op":"insert","schema":"main","table":"a"`)
	require.Equal(t, 1, strings.Count(got.String(), `"first"`), "it has gone on where it was")

	// The source is replaced: the sink stops before and goes on after it.
	r.change(t, "app.yaml", "tables: [a]}\n", "tables: [a, b]}\n")
	r.hup(t, reloaded)
	require.Equal(t, []string{"stopped hook", "stopped cdc", "is running cdc", "is running hook"}, r.services())
	r.execute(t, "CREATE TABLE b (n)", "INSERT INTO b VALUES ('third')")
	got.wait(t, `"third"`)

	consumers := func() string {
		found, err := filepath.Glob(filepath.Join(r.settings.Dir, "*", "consumers.json"))
		require.NoError(t, err)
		require.Len(t, found, 1)
		text, err := os.ReadFile(found[0])
		require.NoError(t, err)
		return string(text)
	}
	require.Contains(t, consumers(), "app:hook")
	content, err := os.ReadFile(filepath.Join(r.settings.Dir, "app.yaml"))
	require.NoError(t, err)
	var line string
	for one := range strings.Lines(string(content)) {
		if strings.Contains(one, "name: hook") {
			line = one
		}
	}
	r.change(t, "app.yaml", line, "", "tables: [a, b]}", "tables: [a, b], lifecycle: {auto_start: true}}")
	r.hup(t, reloaded)
	require.NotContains(t, consumers(), "app:hook", "what is deleted holds nothing back")
}

func TestASinkWaitsForItsDestination(t *testing.T) {
	r := start(t, hooked("http://127.0.0.1:1/hidden"))
	r.execute(t, "CREATE TABLE a (n)", "INSERT INTO a VALUES (1)")
	r.log.wait(t, "the destination does not take changes")
	r.log.wait(t, `msg="service is running" service=app:hook`)
	require.NotContains(t, r.log.String(), "hidden")
}

func TestSinksAreCheckedBeforeAnythingRuns(t *testing.T) {
	require.Equal(t, []string{
		"app.yaml:5: app:live: source: the entry \"app:cdc\" does not keep what has committed, so that a sink could not go on where it was: " +
			"give it durable: true",
		"app.yaml:6: app:nowhere: source: there is no entry \"app:cdx\"; did you mean app:cdc?",
		"app.yaml:7: app:wrong: source: the entry \"app:db\" is a db.sql.sqlite (app.yaml:3), but a db.cdc.sqlite or db.cdc.postgres is needed here",
		"app.yaml:8: app:empty: source: is required: name the db.cdc.sqlite or db.cdc.postgres entry whose changes are delivered",
		"app.yaml:8: app:empty: url: is required: give the address that batches are posted to, http or https",
		"app.yaml:9: app:odd: formt: unknown field of cdc.sink.webhook; did you mean format?",
	}, problems(t, `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db}
  - {name: live, kind: cdc.sink.webhook, source: cdc, url: "http://h"}
  - {name: nowhere, kind: cdc.sink.webhook, source: cdx, url: "http://h"}
  - {name: wrong, kind: cdc.sink.webhook, source: db, url: "http://h"}
  - {name: empty, kind: cdc.sink.webhook}
  - {name: odd, kind: cdc.sink.webhook, source: durable, url: "http://h", formt: flat}
  - {name: db2, kind: db.sql.sqlite, file: app2.db}
  - {name: durable, kind: db.cdc.sqlite, db_resource: db2, durable: true}
`))
}
