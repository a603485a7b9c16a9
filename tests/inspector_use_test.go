package tests_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// small is an app whose only process runs a script after each pause.
const small = `
-- app.yaml --
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: app.db}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db, lifecycle: {auto_start: true}}
  - {name: terminal, kind: terminal.host}
  - {name: write, kind: process.lua, source: file://write.lua, modules: [sql, time]}
  - {name: writer, kind: process.service, process: write, host: terminal, lifecycle: {auto_start: true, requires: [cdc]}}
-- write.lua --
local sql, time = require("sql"), require("time")
function main()
  local db = assert(sql.get("app:db"))
  BEGIN
  while true do
    STEP
  end
end
`

func smallApp(begin, step string) string {
	return strings.NewReplacer("BEGIN", begin, "STEP", step).Replace(small)
}

// steady commits one row after the other.
var steady = smallApp(`assert(db:execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)"))`,
	`assert(db:execute("INSERT INTO t (name) VALUES ('a')")); time.sleep("20ms")`)

// Nothing that an app holds can become more than text.
func TestTheInspectorShowsHostileValuesAsText(t *testing.T) {
	t.Parallel()
	image := `<img src=x onerror=document.title='taken'>`
	p := newPage(t)
	_, url := serve(t, unpack(t, smallApp(
		`assert(db:execute([[CREATE TABLE "`+image+`" (id INTEGER PRIMARY KEY, "`+image+`" TEXT, "__proto__" INTEGER, r REAL, b BLOB, n TEXT)]]))`,
		`assert(db:execute([[INSERT INTO "`+image+`" VALUES (NULL, ?, 9007199254740993, 1.0, x'00ff10', NULL)]], { [['"></td><script>document.title="taken"</script>`+image+`]] .. "\n\0\226\128\174" }))
		assert(db:execute([[INSERT INTO "`+image+`" (b, r) VALUES (zeroblob(100000), 9e999)]]))
		assert(db:execute([[UPDATE "`+image+`" SET n = replace(hex(zeroblob(250000)), '0', 'ab') WHERE id = last_insert_rowid()]]))
		assert(db:execute([[DELETE FROM "`+image+`"]]))
		time.sleep("300ms")`)), "0")
	p.open(t, url)
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length >= 8`)
	p.press(t, "p")
	row := func(op, text string) string {
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		return `[...document.querySelectorAll("#tail-rows tr")].find((row) => row.cells[1].textContent === "` + op +
			`" && row.cells[4].textContent.includes(` + string(quoted) + `))`
	}
	for op, texts := range map[string][]string{
		"insert": {
			`'"></td><script>document.title=`, `onerror=document.title='taken'>\n\u{0}\u{202e}`,
			"__proto__: 9007199254740993  r: 1.0  b: x'00ff10' (3 bytes)  n: NULL", "b: x'000000", "(100,000 bytes)", "r: inf",
		},
		"update": {`n: NULL → "abababab`, "(1,000,000 characters)"},
		"delete": {"x'00ff10'"},
	} {
		for _, text := range texts {
			require.True(t, value[bool](t, p, row(op, text)+` !== undefined`), "%s: %s\n%s", op, text, value[string](t, p, `document.querySelector("#tail-rows").innerText.slice(0, 20000)`))
		}
	}
	require.Equal(t, image, value[string](t, p, `document.querySelector("#tail-rows tr").cells[2].textContent`))

	// So it is where a change is shown in full.
	value[bool](t, p, row("update", "n: NULL")+`.click() ?? true`)
	p.waits(t, `!document.querySelector("#detail").hidden && document.activeElement.id === "detail"`)
	require.Equal(t, []string{"id", image, "__proto__", "r", "b", "n"},
		value[[]string](t, p, `[...document.querySelectorAll("#detail-row th")].map((cell) => cell.textContent)`))
	require.Contains(t, value[string](t, p, `document.querySelector("#detail-row tr:last-child").cells[2].textContent`), "… (1,000,000 characters)")
	require.Equal(t, 1, value[int](t, p, `document.querySelectorAll("#detail-row [data-changed], #detail-row tr[data-changed]").length`))
	require.Zero(t, value[int](t, p, `document.querySelectorAll("main img, main script").length`))
	require.NotEqual(t, "taken", value[string](t, p, `document.title`))
	p.clean(t, url)
}

func TestTheInspectorSurvivesARestart(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	dir := unpack(t, steady)
	r, url := serve(t, dir, "0")
	p.open(t, url)
	newest := `Number(document.querySelector("#tail-rows tr:not(.note)")?.cells[3].textContent)`
	p.waits(t, newest+` > 3`)

	r.signal(t, syscall.SIGKILL)
	<-r.ended
	p.waitsFor(t, "#connection", "the app is away since")
	p.waitsFor(t, "#tail-state", "Trying again")
	p.waitsFor(t, "#problems", "wippy run "+dir)
	before := value[int](t, p, newest)

	_, again := serve(t, dir, strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"))
	require.Equal(t, url, again)
	p.waitsFor(t, "#connection", "connected")
	p.waitsFor(t, "#events", "The app was started again")
	p.waitsFor(t, "#events", "The app was away for")
	p.waitsFor(t, "#tail-rows .note", "not shown")
	p.waits(t, newest+` > `+string(mustJSON(t, before)))
	p.waitsFor(t, "#tail-state", "Reading app:cdc")
	p.clean(t, url, "net::ERR_")
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// However many changes there are, the page can be used, and says that it shows a part.
func TestTheInspectorUnderLoad(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	_, url := serve(t, unpack(t, flood), "0")
	p.open(t, url)
	p.waits(t, `/^showing \d+ of [\d,]+ a second$/.test(document.querySelector("#tail-rate").textContent)`)
	p.waitsFor(t, "#tail-state", "a sample, more changes come than can be shown")
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length === 100`)

	p.do(t, chromedp.Click(chromedp.CSS("#pause")))
	p.waitsFor(t, "#tail-state", "Paused")
	p.waitsFor(t, "#pause", "Go on")
	shown := value[string](t, p, `document.querySelector("#tail-rows").textContent`)
	missed := `Number(/ second; ([\d,]+) changes since/.exec(document.querySelector("#tail-rate").textContent)?.[1].replaceAll(",", ""))`
	p.waits(t, missed+` > 5000`)
	require.Equal(t, shown, value[string](t, p, `document.querySelector("#tail-rows").textContent`))

	p.press(t, "p")
	p.waits(t, `[...document.querySelectorAll("#tail-rows .note")].some((row) => /^[\d,]+ changes came during the pause: not shown$/.test(row.textContent))`)
	p.waits(t, `document.querySelector("#tail-rows").textContent !== `+string(mustJSON(t, shown)))
	require.LessOrEqual(t, value[int](t, p, `document.querySelectorAll("#tail-rows tr").length`), 100)
	p.waits(t, `/^[\d,]+$/.test(document.querySelector("#sources .number").textContent)`)
	p.clean(t, url)
}

// flood commits 10,000 changes a second, if the machine can.
var flood = smallApp(`assert(db:execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, customer TEXT, state TEXT, total REAL)"))
  local due = time.now()`,
	`assert(db:execute([[WITH i (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM i WHERE v < 1000)
      INSERT INTO t (customer, state, total) SELECT 'customer ' || v, 'new', v / 7.0 FROM i]]))
    time.sleep("90ms")`)

func TestTheInspectorCanBeUsedByKeys(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	_, url := serve(t, unpack(t, steady), "0")
	p.open(t, url)
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length > 5 && document.querySelectorAll("#streams > tbody").length > 0`)

	// Everything is reached, in the order of the page, and seen to have the focus.
	name := `(document.activeElement.id || document.activeElement.getAttribute("aria-labelledby") || document.activeElement.value ||
		document.activeElement.textContent.trim())`
	var reached []string
	for range 40 {
		p.press(t, kb.Tab)
		if value[bool](t, p, `document.activeElement === document.body`) {
			break
		}
		reached = append(reached, value[string](t, p, name))
		require.True(t, value[bool](t, p, `document.activeElement.matches(":focus-visible") &&
			getComputedStyle(document.activeElement).outlineStyle === "solid" && parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`), reached)
		if reached[len(reached)-1] == "tail-scroll" {
			break
		}
	}
	require.Equal(t, []string{
		"Skip to the live tail", "sources-title", "streams-title", "entries-summary",
		"tail-source", "tail-tables", "insert", "update", "delete", "truncate", "Apply", "pause", "clear", "tail-scroll",
	}, reached)

	// Arrows walk through the changes, which stay as they are meanwhile.
	p.press(t, kb.ArrowDown)
	p.waitsFor(t, "#tail-state", "Paused")
	p.press(t, kb.ArrowDown)
	at := `[...document.querySelectorAll("#tail-rows button")].indexOf(document.activeElement)`
	require.Equal(t, 1, value[int](t, p, at))
	p.press(t, kb.Enter)
	p.waits(t, `document.activeElement.id === "detail" && document.querySelector("#detail-row").textContent.includes("name")`)
	p.press(t, kb.Escape)
	p.waits(t, `document.querySelector("#detail").hidden`)
	require.Equal(t, 1, value[int](t, p, at))

	// p pauses and goes on, but where text is written.
	p.press(t, "p")
	p.waits(t, `document.querySelector("#pause").getAttribute("aria-pressed") === "false"`)
	p.do(t, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error { // as one event, as keyboards send it
		_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/",
		})
		return err
	}))
	require.Equal(t, "tail-tables", value[string](t, p, name))
	p.press(t, "p")
	require.Equal(t, "p", value[string](t, p, `document.querySelector("#tail-tables").value`))
	require.Equal(t, "false", value[string](t, p, `document.querySelector("#pause").getAttribute("aria-pressed")`))
	p.press(t, kb.Tab) // applies it
	p.waits(t, `[...document.querySelectorAll("#streams > tbody")].some((part) => part.rows[0].cells[2].textContent === "p")`)
	p.clean(t, url)
}

// contrast lists the texts that can be seen and are not 4.5 times as light or dark as what is behind them.
const contrast = `(() => {
	const parse = (colour) => colour.match(/[\d.]+/g).map(Number)
	const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0)
	const behind = (node) => {
		for (; node; node = node.parentElement) {
			const colour = parse(getComputedStyle(node).backgroundColor)
			if (colour.length === 3 || colour[3] === 1) return colour
		}
		return [255, 255, 255]
	}
	const wrong = []
	const seen = new Set()
	const look = (node, colour, text) => {
		seen.add(text)
		const [a, b] = [light(parse(colour)), light(behind(node))].sort((x, y) => y - x)
		const ratio = (a + 0.05) / (b + 0.05)
		if (ratio < 4.5) wrong.push(text.slice(0, 40) + ": " + ratio.toFixed(2))
	}
	for (const node of document.querySelectorAll("body *")) {
		if (!node.checkVisibility()) continue
		const own = [...node.childNodes].filter((child) => child.nodeType === 3 && child.textContent.trim()).map((child) => child.textContent.trim()).join(" ")
		if (own) look(node, getComputedStyle(node).color, own)
		if (node.placeholder) look(node, getComputedStyle(node, "::placeholder").color, node.placeholder)
	}
	if (seen.size < 50) wrong.push("only " + seen.size + " texts were looked at")
	return wrong
})()`

func TestTheInspectorCanBeReadInLightAndDark(t *testing.T) {
	t.Parallel()
	p, url := inspected(t, "")
	p.waitsFor(t, "#problems", "wippy consumers forget")
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length > 40`)
	p.press(t, "p")
	value[bool](t, p, `document.querySelector("details").open = true`)
	value[bool](t, p, `document.querySelector("#tail-rows tr").click() ?? true`)
	grounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(t, scheme)
		require.Empty(t, value[[]string](t, p, contrast), scheme)
		grounds[scheme] = value[string](t, p, `getComputedStyle(document.body).backgroundColor`)
	}
	require.NotEqual(t, grounds["light"], grounds["dark"])
	require.Zero(t, value[int](t, p, `document.getAnimations().length`))
	p.clean(t, url)
}

func TestTheInspectorBehindAToken(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	dir := unpack(t, steady)
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte("horse-battery-staple-0123456789"), 0o600))
	_, url := serve(t, dir, "0", "--http-token-file", token)
	for _, path := range []string{"page/app.js", "page/index.html", "api/status"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		require.NoError(t, err)
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusUnauthorized, response.StatusCode, path)
	}
	p.open(t, url)
	p.press(t, "wrong-wrong-wrong-wrong\r")
	p.waitsFor(t, "[role=alert]", "That is not the token")
	p.press(t, "horse-battery-staple-0123456789\r")
	p.waitsFor(t, "#connection", "connected")
	p.waits(t, `document.querySelectorAll("#tail-rows tr").length > 3`)
	p.clean(t, url, "401")
}

// The parts that compute are asked for what they make of hard cases.
func TestTheModulesOfTheInspector(t *testing.T) {
	t.Parallel()
	p := newPage(t)
	_, url := serve(t, unpack(t, steady), "0")
	p.open(t, url)
	for expression, want := range map[string]any{
		// Lines, however they come in pieces.
		`import("/page/lines.js").then(({ Lines }) => [1, 2, 3, 7, 100].map((size) => {
			const got = []
			const lines = new Lines((line, size) => got.push(new TextDecoder().decode(line) + "/" + size), 6)
			const bytes = new TextEncoder().encode("one\n\ntwo\nlonger than kept\nlast\nopen")
			for (let at = 0; at < bytes.length; at += size) lines.push(bytes.subarray(at, at + size))
			return got.join(" ")
		}).filter((text) => text !== "one/3 /0 two/3 longer/16 last/4"))`: []any{},
		// A sample keeps the order, and has all if they are few.
		`import("/page/lines.js").then(({ Sample }) => {
			const sample = new Sample(5)
			for (let n = 0; n < 4; n++) sample.add(n)
			const few = sample.takeSome(5).join()
			for (let n = 0; n < 1000; n++) sample.add(n)
			const many = sample.takeSome(3)
			return [few, many.length, many[0] < many[1] && many[1] < many[2], sample.takeSome(5).length]
		})`: []any{"0,1,2,3", 3.0, true, 0.0},
		`import("/page/lines.js").then(({ Meter }) => {
			const meter = new Meter()
			meter.count(0, 5); meter.count(900, 7); meter.count(1100, 1)
			return [meter.last(1100), meter.last(5000)]
		})`: []any{8.0, 0.0},
		// Rates are not known of the first value, after a restart, and over a pause.
		`import("/page/history.js").then(({ Rates }) => {
			const rates = new Rates()
			return [rates.of("a", 1, 10), rates.of("a", 3, 30), rates.of("a", 4, 5), rates.of("a", 5, 6), rates.of("a", 60, 7)]
		})`: []any{nil, 10.0, nil, 1.0, nil},
		`import("/page/history.js").then(({ History }) => {
			const history = new History()
			for (let at = 0; at < 400; at++) if (at < 200 || at > 210) history.add("up", at, at)
			for (let at = 0; at < 400; at++) history.add("flat", at, 7)
			const { lines, highest } = history.lines("up", 399)
			return [lines.length, highest, lines[0][0].x, lines[1].at(-1).x, history.grows("up", 399), history.grows("flat", 399), history.grows("none", 399)]
		})`: []any{2.0, 399.0, 0.0, 1.0, true, false, false},
		`import("/page/format.js").then(({ bytes, count, duration, rate, seconds, visible }) => [
			bytes(0), bytes(1023), bytes(1536), bytes(64 << 20), bytes(null), count(1234567), rate(0.25), rate(9999.6),
			duration(999), duration(61e3), duration(3.6e6), duration(9e7), seconds(0.0004), seconds(0.25), seconds(75),
			visible("a\tb\u0000\u202e\ud800", 10), visible("abcdef", 3), visible("😀", 5),
		])`: []any{
			"0 B", "1,023 B", "1.5 KiB", "64 MiB", "not known", "1,234,567", "0.3", "10,000",
			"0 s", "1 min 1 s", "1 h", "1 d 1 h", "<1 ms", "250 ms", "1 min 15 s",
			`a\tb\u{0}\u{202e}\u{d800}`, "abc… (6 characters)", "😀",
		},
		// A line that is not kept whole says what its beginning tells; a row of Postgres may lack values.
		`import("/page/change.js").then(({ read, summary }) => {
			const of = (change) => new TextEncoder().encode(JSON.stringify(change))
			const large = of({ op: "insert", schema: "main", table: "t", relation: "t", before: null, after: { v: "x".repeat(9000) } })
			const cut = read(large.subarray(0, 5000), large.length)
			const update = read(of({ op: "update", schema: "s", table: "t", before: { id: 1 }, after: { id: 1, v: "x" }, key: { id: 1 }, unchanged: ["w"] }), 1)
			return [cut.op, cut.table, summary(cut), update.table, update.key, summary(update), update.facts["not sent"]]
		})`: []any{"insert", "t", "8.9 KiB: too large to be shown here; wippy tail has it", "s.t", "1", `v: "x"`, "w"},
	} {
		require.Equal(t, want, value[any](t, p, expression), expression)
	}
	p.clean(t, url)
}
