// The tables of sources, streams, consumers, sinks and entries.

import { h, byID, say, mark, keyed } from "./dom.js";
import { Figure } from "./plot.js";
import { brief, bytes, count, duration, plural, rate, seconds, visible } from "./format.js";

const most = 200; // rows of one table

// Table shows a list of one kind of thing.
class Table {
  constructor(id, keyOf, make, update) {
    Object.assign(this, { keyOf, make, update });
    this.table = byID(id);
    this.section = this.table.closest("section");
  }

  show(all, context) {
    say(this.section.querySelector("h2 .count"), count(all.length));
    const empty = this.section.querySelector(".empty");
    if (empty) {
      empty.hidden = all.length > 0;
      this.table.parentElement.hidden = all.length === 0;
    }
    keyed(this.table, [...all.slice(0, most), ...(all.length > most ? [null] : [])], (item) => (item ? `row:${this.keyOf(item)}` : "more"),
      (item) => (item ? this.make(item) : { node: h("tbody", {}, h("tr", {}, h("td", { colspan: "9" }))) }),
      (view, item) => (item ? this.update(view, item, context) : say(view.node.querySelector("td"), `and ${count(all.length - most)} more`)));
  }
}

// row makes a table body of one row, with another below it for an error.
function row(cells) {
  const views = {};
  const tr = h("tr");
  cells.forEach(([name, node]) => tr.append((views[name] = node)));
  const node = h("tbody", {}, tr);
  return { node, cells: views, tr };
}

const cell = (kind) => h("td", { class: kind });
const head = () => h("th", { scope: "row" }, h("bdi"), h("small"));

function name(node, text, small) {
  say(node.firstChild, text);
  say(node.lastChild, small);
}

function state(node, text) {
  if (!node.firstChild) node.append(h("span", { class: "state" }));
  say(node.firstChild, text);
  mark(node.firstChild, "data-state", text);
}

// fault shows errors below a row.
function fault(view, failures) {
  const text = failures.filter(Boolean).map((f) => brief(f.message)).join("; ");
  if (!text) {
    view.fault?.remove();
    view.fault = null;
    return;
  }
  if (!view.fault) {
    view.fault = h("tr", { class: "fault" }, h("td", { colspan: String(view.tr.children.length) }));
    view.node.append(view.fault);
  }
  say(view.fault.firstChild, text);
}

function snapshotRows({ snapshot_rows: read, snapshot_total: total }) {
  return total ? `${count(Math.min(read, total))} of ${plural(total, "row")}` : plural(read, "row");
}

function selection({ tables, ops, schema }) {
  return [tables?.join(", ") ?? "all tables", ops?.join(", "), schema ? "schema changes" : ""].filter(Boolean).join("; ");
}

export function newTables(history) {
  const figure = (key, what, words) => new Figure(history, key, what, words);

  const sources = new Table("sources", (s) => s.id, (s) => {
    const changes = figure(`rate:${s.id}`, `Changes a second of ${s.id}`, rate);
    const lag = figure(`lag:${s.id}`, `Lag of the slowest stream of ${s.id}`, bytes);
    return Object.assign(row([["id", head()], ["state", cell()], ["rate", changes.node], ["lag", lag.node], ["log", cell("n")],
      ["streams", cell("n")], ["lsn", cell("mono")]]), { changes, lag });
  }, (view, s, { now, rates }) => {
    const c = view.cells;
    const running = s.state === "running";
    name(c.id, s.id, `${s.engine || s.kind}, ${s.capabilities.replayable ? "durable" : "live"}${s.db_resource ? `, ${s.db_resource}` : ""}`);
    state(c.state, s.state);
    const unread = running && s.stats?.streams === 0;
    view.changes.show(rates.get(`rate:${s.id}`) ?? null, now, !running || !s.stats ? "none" : unread && !s.capabilities.replayable ? "not read" : undefined);
    view.lag.show(s.stats?.lag_bytes ?? null, now, !running || unread || !s.stats ? "none" : undefined);
    say(c.log, s.stats ? bytes(s.stats.log_bytes) : "none");
    say(c.streams, count(s.admission.active) + (s.admission.snapshots > 0 ? ` (${plural(s.admission.snapshots, "snapshot")})` : ""));
    say(c.lsn, s.lsn || "none yet");
    fault(view, [s.error, s.checkpoint_error]);
  });

  const streams = new Table("streams", (s) => s.id, (s) => {
    const lag = figure(`stream:${s.id}`, `Lag of ${s.reader || s.id}`, bytes);
    return Object.assign(row([["reader", head()], ["source", cell()], ["selects", cell()], ["lag", lag.node], ["since", cell()],
      ["cursor", cell("mono")]]), { lag });
  }, (view, s, { now, clock }) => {
    const c = view.cells;
    name(c.reader, visible(s.reader || "not known", 100), s.consumer ? `consumer ${s.consumer}` : "");
    say(c.source, s.source);
    say(c.selects, visible(selection(s), 200));
    view.lag.show(s.lag_bytes, now, s.snapshot ? `snapshot, ${snapshotRows(s)}` : undefined);
    say(c.since, duration(clock - Date.parse(s.since)));
    say(c.cursor, s.cursor || "nothing yet");
  });

  const consumers = new Table("consumers", (c) => `${c.source}/${c.name}`, (c) => {
    const lag = figure(`consumer:${c.source}/${c.name}`, `Lag of ${c.name}`, bytes);
    return Object.assign(row([["name", head()], ["source", cell()], ["reader", cell()], ["lag", lag.node], ["transactions", cell("n")],
      ["acked", cell()], ["cursor", cell("mono")]]), { lag });
  }, (view, one, { now, clock }) => {
    const c = view.cells;
    name(c.name, one.name, one.snapshot ? "has not finished its snapshot" : "");
    say(c.source, one.source);
    state(c.reader, one.connected ? visible(one.reader || "connected", 100) : "not connected");
    mark(c.reader.firstChild, "data-state", one.connected ? "running" : "away");
    view.lag.show(one.lag_bytes, now);
    say(c.transactions, count(one.lag_transactions));
    say(c.acked, `${duration(clock - Date.parse(one.acked_at))} ago`);
    say(c.cursor, one.cursor || "none yet");
  });

  const sinks = new Table("sinks", (s) => s.id, (s) => {
    const changes = figure(`sink:${s.id}`, `Changes a second delivered by ${s.id}`, rate);
    const lag = figure(`sinklag:${s.id}`, `Lag of ${s.id}`, bytes);
    return Object.assign(row([["id", head()], ["state", cell()], ["to", cell()], ["rate", changes.node], ["lag", lag.node], ["delay", cell()],
      ["published", cell("n")], ["failed", cell("n")], ["parked", cell("n")]]), { changes, lag });
  }, (view, s, { now, rates, delays }) => {
    const c = view.cells;
    name(c.id, s.id, `of ${s.source}, ${s.format}`);
    state(c.state, s.state);
    say(c.to, visible(s.destination, 200));
    view.changes.show(rates.get(`sink:${s.id}`) ?? null, now);
    view.lag.show(s.lag_bytes, now);
    say(c.delay, delays.has(s.id) ? seconds(delays.get(s.id)) : "none yet");
    for (const counter of ["published", "failed", "parked"]) say(c[counter], count(s[counter]));
    fault(view, [s.error]);
  });

  const entries = new Table("entries", (e) => e.id, () => row([["id", head()], ["kind", cell()], ["state", cell()], ["since", cell()]]),
    (view, e, { clock }) => {
      const c = view.cells;
      name(c.id, e.id, "");
      say(c.kind, e.kind);
      state(c.state, e.state);
      say(c.since, e.since ? duration(clock - Date.parse(e.since)) : "");
      fault(view, [e.error]);
    });

  return (status, context) => {
    sources.show(status.sources, context);
    streams.show(status.streams, context);
    consumers.show(status.consumers, context);
    sinks.show(status.sinks, context);
    entries.show(status.entries, context);
  };
}
