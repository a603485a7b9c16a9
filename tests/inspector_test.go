package tests_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	answers "github.com/wippy-cdc/runtime/api/inspect"
)

// shop is an app with a bit of everything that the inspector shows: a durable source with a consumer that keeps up, one
// that acknowledges nothing and one that has gone; a sink that delivers and one that cannot; a live source; a source that cannot reach its server; a service that
// has failed for good.
const shop = `
-- app.yaml --
namespace: shop
entries:
  - {name: db, kind: db.sql.sqlite, file: shop.db}
  - {name: orders, kind: db.cdc.sqlite, db_resource: db, durable: true}
  - {name: live, kind: db.cdc.sqlite, db_resource: db, tables: [orders], snapshot: true, lifecycle: {auto_start: true}}
  - name: archive
    kind: db.cdc.postgres
    host: 127.0.0.1
    port: 1
    database: archive
    slot_name: archive
    tables: [public.orders]
    lifecycle: {auto_start: true}
  - {name: warehouse, kind: cdc.sink.webhook, source: orders, tables: [stock], url: "WAREHOUSE", lifecycle: {auto_start: true}}
  - {name: partner, kind: cdc.sink.webhook, source: orders, url: "http://127.0.0.1:1/", lifecycle: {auto_start: true}}
  - {name: terminal, kind: terminal.host}
  - {name: write, kind: process.lua, source: file://write.lua, modules: [sql, time]}
  - {name: follow, kind: process.lua, source: file://follow.lua, modules: [cdc]}
  - {name: gone, kind: process.lua, source: file://gone.lua, modules: [cdc]}
  - {name: audit, kind: process.lua, source: file://audit.lua, modules: [cdc]}
  - {name: useless, kind: process.lua, source: "function main() error('the address of the mail server is missing') end"}
  - {name: search, kind: process.service, process: follow, host: terminal, lifecycle: {auto_start: true, requires: [orders]}}
  - {name: newsletter, kind: process.service, process: gone, host: terminal, lifecycle: {auto_start: true, requires: [orders]}}
  - {name: auditor, kind: process.service, process: audit, host: terminal, lifecycle: {auto_start: true, requires: [orders]}}
  - {name: mail, kind: process.service, process: useless, host: terminal, lifecycle: {auto_start: true, restart: {max_attempts: 1}}}
  - {name: writer, kind: process.service, process: write, host: terminal, input: 50ms, lifecycle: {auto_start: true, requires: [orders]}}
-- write.lua --
local sql, time = require("sql"), require("time")
local states = { "new", "paid", "packed", "sent" }
local customers = { "ada", "grace", "alan", "edsger", "barbara" }
local n = 0
function main(pause)
  local db = assert(sql.get("shop:db"))
  assert(db:execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, state TEXT, total REAL)"))
  assert(db:execute("CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, left_over INTEGER) WITHOUT ROWID"))
  assert(db:execute("INSERT OR IGNORE INTO stock VALUES ('book', 100000), ('pen', 50000)"))
  while true do
    local tx = assert(db:begin())
    n = n + 1
    if n % 4 == 0 then
      assert(tx:execute("UPDATE orders SET state = ? WHERE id = (SELECT max(id) - ? FROM orders)", { states[2 + n % 3], n % 7 }))
    elseif n % 21 == 0 then
      assert(tx:execute("DELETE FROM orders WHERE id = (SELECT min(id) FROM orders)"))
    else
      assert(tx:execute("INSERT INTO orders (customer, state, total) VALUES (?, 'new', ?)", { customers[1 + n % 5], n % 97 + 0.5 }))
      assert(tx:execute("UPDATE stock SET left_over = left_over - 1 WHERE item = ?", { n % 2 == 0 and "book" or "pen" }))
    end
    assert(tx:commit())
    time.sleep(pause)
  end
end
-- follow.lua --
local cdc = require("cdc")
function main()
  cdc.follow("shop:orders", { consumer = "search", snapshot = true }, function() end)
end
-- gone.lua --
local cdc = require("cdc")
function main()
  local stream = assert(cdc.stream("shop:orders", { consumer = "newsletter", tables = { "orders" } }))
  for change in assert(stream:channel()):each() do
    if change.last then
      assert(stream:ack(change))
      return
    end
  end
end
-- audit.lua --
local cdc = require("cdc")
function main()
  local stream = assert(cdc.stream("shop:orders", { consumer = "audit", ops = { "insert", "delete" } }))
  for _ in assert(stream:channel()):each() do end
end
`

// serve runs an app, and returns the address of its inspector.
func serve(t *testing.T, dir string, args ...string) (*running, string) {
	t.Helper()
	r := launch(t, dir, append([]string{"run", "--http"}, args...)...)
	r.prints(t, r.stderr, "http is served")
	r.prints(t, r.stderr, "token=")
	return r, regexp.MustCompile(`http://[^/\s]+`).FindString(r.stderr.String()) + "/"
}

// inspected runs the shop and opens its inspector.
func inspected(t *testing.T, fragment string) (*browserPage, string) {
	t.Helper()
	p := newPage(t)
	warehouse := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(warehouse.Close)
	_, url := serve(t, unpack(t, strings.Replace(shop, "WAREHOUSE", warehouse.URL, 1)), "0")
	p.open(t, url+fragment)
	p.waitsFor(t, "#connection", "connected")
	return p, url
}

// ask asks the API.
func ask(t *testing.T, url string) (status answers.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"api/status", nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.NoError(t, json.Unmarshal(text, &status), string(text))
	return status
}

// cells returns what the first rows of all parts of a table show, by the first words of the row.
func cells(t *testing.T, p *browserPage, table string) map[string][]string {
	t.Helper()
	return value[map[string][]string](t, p, fmt.Sprintf(`Object.fromEntries([...document.querySelectorAll("#%s > tbody")].map((part) =>
		[part.querySelector("bdi").textContent, [...part.rows[0].cells].map((cell) => cell.textContent)]))`, table))
}

func TestTheInspectorShowsWhatTheAPISays(t *testing.T) {
	t.Parallel()
	p, url := inspected(t, "")
	p.waitsFor(t, "#sources", "faulted")
	p.waitsFor(t, "#entries-summary", "of")
	p.waits(t, `document.querySelectorAll("#consumers > tbody").length === 5 && document.querySelectorAll("#streams > tbody").length === 5`)
	p.waitsFor(t, "#consumers", "not connected")
	p.waitsFor(t, "#problems", "shop:mail has failed for good")
	status := ask(t, url)

	sources := cells(t, p, "sources")
	require.Len(t, sources, len(status.Sources))
	for _, s := range status.Sources {
		require.Equal(t, string(s.State), sources[s.ID][1])
	}
	streams := cells(t, p, "streams")
	require.Len(t, streams, len(status.Streams))
	for _, s := range status.Streams {
		require.Contains(t, streams, s.Reader)
		require.Contains(t, streams[s.Reader][0], s.Consumer)
		require.Equal(t, s.Source, streams[s.Reader][1])
	}
	consumers := cells(t, p, "consumers")
	require.Len(t, consumers, len(status.Consumers))
	for _, c := range status.Consumers {
		require.Equal(t, c.Source, consumers[c.Name][1])
		require.Equal(t, c.Connected, consumers[c.Name][2] != "not connected")
	}
	sinks := cells(t, p, "sinks")
	require.Len(t, sinks, len(status.Sinks))
	for _, s := range status.Sinks {
		require.Equal(t, string(s.State), sinks[s.ID][1])
		require.Equal(t, s.Destination, sinks[s.ID][2])
	}
	for _, e := range status.Entries {
		require.Equal(t, e.State, cells(t, p, "entries")[e.ID][2], e.ID)
		if e.Error != nil {
			first, _, _ := strings.Cut(e.Error.Message, "\n")
			p.waitsFor(t, "#problems", first)
		}
	}
	p.waitsFor(t, "#problems", fmt.Sprintf("kill -HUP %d", status.App.PID))
	p.waitsFor(t, "#facts", status.App.Dir)
	p.waitsFor(t, "#facts", "wippy "+status.App.Version+" ")
	p.waitsFor(t, "#problems", "shop:partner cannot deliver")
	p.waits(t, `/^\d+ m?s$|^<1 ms$/.test([...document.querySelectorAll("#sinks > tbody")].at(-1).rows[0].cells[5].textContent)`)

	// It goes on: what is not acknowledged grows, and is drawn.
	behind := `parseInt(document.querySelectorAll("#consumers > tbody")[0].rows[0].cells[4].textContent.replace(",", ""))`
	p.waits(t, fmt.Sprintf(`%s > %d`, behind, value[int](t, p, behind)))
	p.waits(t, `document.querySelector("#consumers .plot .line").getAttribute("d").split("L").length > 2`)
	// A consumer that does not come back is told, with what ends it.
	p.waitsFor(t, "#problems", "wippy consumers forget shop:orders newsletter")
	p.clean(t, url)
}

func TestTheInspectorShowsChangesAsTheyCommit(t *testing.T) {
	t.Parallel()
	p, url := inspected(t, "#source=shop:orders")
	p.waits(t, `[...document.querySelectorAll("#tail-rows tr")].some((row) => row.cells[1].textContent === "insert" &&
		row.cells[2].textContent === "orders" && /customer: "\w+"  state: "new"/.test(row.cells[4].textContent))`)
	p.waits(t, `[...document.querySelectorAll("#tail-rows tr")].some((row) => row.cells[1].textContent === "update" &&
		row.cells[2].textContent === "stock" && /^left_over: (\d+) → \d+$/.test(row.cells[4].textContent))`)
	p.waits(t, `/\d a second, all shown/.test(document.querySelector("#tail-rate").textContent)`)

	// Filters: the tables by Enter, operations and source at once.
	value[bool](t, p, `document.querySelector("#tail-tables").focus() ?? true`)
	p.press(t, "stock\r")
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length > 3 &&
		[...document.querySelectorAll("#tail-rows tr")].every((row) => row.cells[2].textContent === "stock")`)
	require.Contains(t, value[string](t, p, `location.hash`), "tables=stock")
	p.do(t, chromedp.Click(chromedp.CSS("#filter [value=update]")))
	p.waitsFor(t, "#tail-empty", "No change yet")
	p.do(t, chromedp.SetValue(chromedp.CSS("#tail-source"), "shop:live"), chromedp.SetValue(chromedp.CSS("#tail-tables"), "nowhere"), chromedp.Click(chromedp.CSS("#filter [type=submit]")))
	p.waits(t, `document.querySelector("#tail-state").dataset.state === "failed"`)
	p.waitsFor(t, "#tail-state", "nowhere")
	for _, op := range []string{"insert", "delete", "truncate"} {
		p.do(t, chromedp.Click(chromedp.CSS("#filter [value="+op+"]")))
	}
	p.waitsFor(t, "#tail-state", "Choose one at least")

	// The address has what was chosen, and another page begins with it.
	p.open(t, url+"?#source=shop%3Alive&tables=orders&ops=delete")
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length > 0 &&
		[...document.querySelectorAll("#tail-rows tr")].every((row) => row.cells[1].textContent === "delete")`)
	p.clean(t, url, "400")
}
