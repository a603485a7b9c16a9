package tests_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// unparking is an app with a sink whose destination rejects what is poison. Its command that unparks is that of the
// documentation.
const unparking = `namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db, lifecycle: {auto_start: true}}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, durable: true}
  - name: hook
    kind: cdc.sink.webhook
    source: cdc
    url: URL
    on_reject: park
    lifecycle: {auto_start: true}
  - {name: terminal, kind: terminal.host}
  - name: sell
    kind: process.lua
    modules: [sql, time]
    source: |
      local sql, time = require("sql"), require("time")
      function main()
        local db = assert(sql.get("app:db"))
        assert(db:execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)"))
        assert(db:execute("INSERT INTO orders VALUES (1, 'poison'), (2, 'book'), (3, 'poison')"))
        assert(db:execute("UPDATE orders SET id = 4 WHERE id = 3"))
        assert(db:execute("UPDATE orders SET item = 'lamp ' || id WHERE item = 'poison'"))
        repeat
          time.sleep("10ms")
          local rows = assert(db:query("SELECT count(*) AS n FROM wippy_cdc_parked"))
        until rows[1].n == 5
      end
    meta: {command: {name: sell, short: sell}}
`

// The command of the documentation delivers what is parked, and says what it has done or what to type.
func TestTheCommandThatUnparks(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	lamps := make(chan string, 100)
	destination := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !mended.Load() && strings.Contains(string(body), "poison") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		for _, lamp := range []string{"lamp 1", "lamp 4"} {
			if strings.Contains(string(body), `"after":{"id":`+lamp[5:]+`,"item":"`+lamp+`"}`) {
				lamps <- lamp
			}
		}
	}))
	t.Cleanup(destination.Close)
	dir := t.TempDir()
	declared, script := "", ""
	snippets, _ := page(t, "../docs/sinks.md")
	for _, s := range snippets {
		if strings.Contains(s.text, "name: unpark") {
			declared = s.text
		}
		if strings.Contains(s.text, "function unpark") {
			script = s.text
		}
	}
	write(t, filepath.Join(dir, "app.yaml"), strings.Replace(unparking, "URL", destination.URL, 1)+declared)
	write(t, filepath.Join(dir, "unpark.lua"), script)

	require.Zero(t, launch(t, dir, "run", "sell").exit())
	for _, args := range [][]string{nil, {"app:hook"}, {"app:hook", "order"}, {"app:other", "orders"}} {
		r := launch(t, dir, append([]string{"run", "-s", "unpark"}, args...)...)
		require.NotZero(t, r.exit(), args)
		require.Contains(t, r.stderr.String(), "type `wippy run unpark SINK TABLE` with one of these: app:hook orders\n", args)
	}
	mended.Store(true)
	r := launch(t, dir, "run", "unpark", "app:hook", "orders")
	require.Zero(t, r.exit(), r.stderr.String())
	require.Equal(t, "unparked, changes of orders: 5\n", r.stdout.String())
	app := launch(t, dir, "run")
	got := map[string]bool{}
	for len(got) < 2 {
		select {
		case lamp := <-lamps:
			got[lamp] = true
		case <-app.ended:
			require.Fail(t, "the app has ended", app.stderr.String())
		}
	}
	app.signal(t, os.Interrupt)
	require.Zero(t, app.exit())
}
