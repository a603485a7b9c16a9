// The page: it asks the app each second what is, and draws that. Nothing is kept but what it has seen itself.

import { h, byID, say, mark, keyed } from "./dom.js";
import { brief, count, duration, time } from "./format.js";
import { History, Rates } from "./history.js";
import { problems, differences } from "./problems.js";
import { newTables } from "./tables.js";
import { newTail } from "./controls.js";

const every = 1000; // milliseconds
const patience = 5000; // milliseconds for one answer
const mostEvents = 100;

const history = new History();
const counters = new Rates();
const showTables = newTables(history);
const delays = new Map();
const events = [];
let status = null;
let awaySince = null;
let timer = 0;

const tail = newTail(happened);

// happened notes what went wrong; what it says again is counted.
function happened(text) {
  const first = events[0];
  if (first?.text === text) Object.assign(first, { at: Date.now(), times: first.times + 1 });
  else events.unshift({ at: Date.now(), text, times: 1, key: Symbol("event") });
  events.length = Math.min(events.length, mostEvents);
  showEvents();
}

function showEvents() {
  const section = byID("events").closest("section");
  say(section.querySelector(".count"), events.length ? count(events.length) : "");
  byID("no-events").hidden = events.length > 0;
  keyed(byID("events"), events, (event) => event.key, () => ({ node: h("li", {}, h("time"), h("span")) }), (view, event) => {
    say(view.node.firstChild, time(event.at));
    say(view.node.lastChild, brief(event.text) + (event.times > 1 ? ` (${count(event.times)} times)` : ""));
  });
}

function connection(state, text) {
  mark(byID("connection"), "data-state", state);
  say(byID("connection"), text);
}

async function poll() {
  clearTimeout(timer);
  try {
    const response = await fetch("/api/status", { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(patience) });
    if (response.status === 401) {
      signedOut();
      return;
    }
    if (!response.ok) throw new Error(`the app answers with ${response.status}`);
    const skew = Date.parse(response.headers.get("Date") ?? "") - Date.now();
    arrived(await response.json(), Number.isNaN(skew) || Math.abs(skew) < 2000 ? 0 : skew);
  } catch (error) {
    away(error);
  }
  if (!document.hidden) timer = setTimeout(poll, every);
}

function signedOut() {
  connection("away", "The token is another one now: ");
  byID("connection").append(h("a", { href: "/" }, "sign in again"));
  document.title = "signed out · wippy";
}

function away(error) {
  if (awaySince === null) {
    awaySince = Date.now();
    tail.away();
    showProblems([{ key: "away", level: "bad", title: "The app does not answer", text: "",
      cure: `If it has ended, its log says why; ${status ? `wippy run ${status.app.dir}` : "wippy run"} starts it. This page goes on by itself` }]);
  }
  const why = error.name === "TimeoutError" ? "the app does not answer" : error.name === "TypeError" ? "the app is away" : error.message;
  connection("away", `${why} since ${time(awaySince)}, trying again${status ? "; what you see is older" : ""}`);
  document.title = `away · ${appName()}`;
}

function arrived(next, skew) {
  if (awaySince !== null) {
    if (status) happened(`The app was away for ${duration(Date.now() - awaySince)}`);
    awaySince = null;
  }
  const news = differences(status, next);
  if (status && status.app.started_at !== next.app.started_at) counters.forget();
  status = next;
  news.forEach(happened);
  draw(Date.now() + skew);
  tail.offer(next.sources);
}

const appName = () => (status ? status.app.dir.split("/").findLast(Boolean) ?? "/" : "wippy");

// draw shows the newest answer; clock is the time of the app in milliseconds.
function draw(clock) {
  const now = performance.now() / 1000;
  const rates = note(now);
  showTables(status, { now, clock, rates, delays });
  const wrong = problems(status, clock, (key) => history.grows(key, now));
  showProblems(wrong);
  const { app } = status;
  say(byID("app"), appName());
  say(byID("facts"), [app.version && `wippy ${app.version}`, `up ${duration(clock - Date.parse(app.started_at))}`, `process ${app.pid}`, app.dir]
    .filter(Boolean).join(" · "));
  connection("connected", "connected");
  document.title = `${wrong.length ? `(${wrong.length}) ` : ""}${appName()} · wippy`;
  const running = status.entries.filter((e) => e.state === "running").length;
  say(byID("entries-summary"), running === status.entries.length ? `all ${count(running)} run` : `${count(running)} of ${count(status.entries.length)} run`);
}

// note keeps what plots show, and returns rates by their keys.
function note(now) {
  const rates = new Map();
  const keep = (key, value) => history.add(key, now, value);
  const keepRate = (key, counter) => {
    const value = counter === null ? null : counters.of(key, now, counter);
    rates.set(key, value);
    keep(key, value);
  };
  for (const s of status.sources) {
    keepRate(`rate:${s.id}`, s.state === "running" && s.stats ? Object.values(s.stats.changes ?? {}).reduce((sum, n) => sum + n, 0) : null);
    keep(`lag:${s.id}`, s.state === "running" && s.stats ? s.stats.lag_bytes : null);
  }
  for (const s of status.streams) keep(`stream:${s.id}`, s.lag_bytes);
  for (const c of status.consumers) keep(`consumer:${c.source}/${c.name}`, c.lag_bytes);
  for (const s of status.sinks) {
    keepRate(`sink:${s.id}`, s.published);
    keep(`sinklag:${s.id}`, s.lag_bytes);
    const [took, times] = [counters.of(`took:${s.id}`, now, s.delay.seconds), counters.of(`times:${s.id}`, now, s.delay.count)];
    if (times > 0) delays.set(s.id, took / times); // the last that is known stays
  }
  history.keep(now);
  return rates;
}

function showProblems(list) {
  const section = byID("problems").closest("section");
  say(section.querySelector(".count"), list.length ? count(list.length) : "");
  say(byID("no-problems"), status?.entries.length ? "All that is to run runs, and no reader is left behind." : "The app has no entry that runs.");
  byID("no-problems").hidden = list.length > 0;
  keyed(byID("problems"), list, (p) => p.key, () => ({ node: h("li", {}, h("strong"), h("p", { class: "what" }), h("p", { class: "cure" })) }),
    ({ node }, p) => {
      mark(node, "data-level", p.level);
      [p.title, p.text, p.cure].forEach((text, at) => {
        say(node.children[at], brief(text));
        node.children[at].hidden = !text;
      });
    });
}

document.addEventListener("visibilitychange", () => {
  tail.hide(document.hidden);
  if (!document.hidden) poll();
});

poll();
