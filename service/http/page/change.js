// A change as the page shows it, read from a line of JSON: docs/formats.md describes it.

import { visible, count, bytes } from "./format.js";

const cell = 100; // characters of a value in a row of the tail
const whole = 64 << 10; // and where the change is shown by itself
const decoder = new TextDecoder();

// Exact is a number as it was written: 1.0 and 1 are different values of a column.
class Exact {
  constructor(text) {
    this.text = text;
  }
}

const exact = (_, value, context) => (typeof value === "number" && context?.source ? new Exact(context.source) : value);

const number = (value) => Number(value instanceof Exact ? value.text : value);

// read returns what is shown of a line.
export function read(line, size) {
  if (line.length < size) return tooLarge(line, size);
  const c = JSON.parse(decoder.decode(line), exact);
  const types = c.types ?? {};
  const columns = new Set([...Object.keys(c.before ?? {}), ...Object.keys(c.after ?? {})]);
  return {
    op: c.op,
    table: c.schema && c.schema !== "main" && c.schema !== "public" ? `${c.schema}.${c.table}` : c.table ?? "",
    at: c.timestamp === undefined ? null : number(c.timestamp) * 1000,
    key: Object.entries(c.new_key ?? c.key ?? {}).map(([name, value]) =>
      write(value, (c.new_key ? types.new_key : types.key)?.[name], cell)).join(", "),
    keyed: new Set(Object.keys(c.key ?? {})), // a row of the tail shows them before the others
    facts: {
      operation: c.op, relation: c.relation, source: c.source, transaction: c.transaction, cursor: c.cursor, generation: c.generation,
      "renamed from": c.renamed_from, action: c.action, sql: c.sql, "not sent": c.unchanged?.join(", "),
    },
    row: [...columns].map((name) => column(c, types, name)),
  };
}

function column(c, types, name) {
  const of = (image, limit) => (image && Object.hasOwn(image[0], name) ? write(image[0][name], image[1]?.[name], limit) : null);
  const before = c.before && [c.before, types.before];
  const after = c.after && [c.after, types.after];
  return {
    name,
    before: of(before, whole), after: of(after, whole), shortBefore: of(before, cell), shortAfter: of(after, cell),
    changed: c.op === "update" && Object.hasOwn(c.after, name) && !(before && same(before, after, name)),
  };
}

function same(before, after, name) {
  const text = (image) => JSON.stringify([image[0][name], image[1]?.[name]]);
  return text(before) === text(after);
}

// write writes a value with its type, if that is marked.
function write(value, type, limit) {
  if (value === null) return "NULL";
  if (value instanceof Exact) return value.text;
  if (typeof value !== "string") return String(value);
  if (type === "integer" || type === "real") return value;
  if (type === "blob" || type === "text") return binary(value, type, limit);
  return `"${visible(value, limit)}"`;
}

// binary writes the first bytes of what comes as base64.
function binary(base64, type, limit) {
  const size = (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);
  const shown = atob(base64.slice(0, Math.floor(limit / 8) * 4));
  let hex = "";
  for (let at = 0; at < shown.length; at++) hex += shown.charCodeAt(at).toString(16).padStart(2, "0");
  return `${type === "blob" ? "x" : "text x"}'${hex}${shown.length < size ? "…" : ""}' (${count(size)} bytes)`;
}

// summary says a change on one line.
export function summary(change) {
  if (change.note) return change.note;
  const others = change.row.filter((c) => (change.op === "update" ? c.changed : !change.keyed.has(c.name)));
  const pairs = others.slice(0, 24).map((c) => {
    if (change.op === "update" && c.shortBefore !== null) return `${visible(c.name, 60)}: ${c.shortBefore} → ${c.shortAfter}`;
    return `${visible(c.name, 60)}: ${c.shortAfter ?? c.shortBefore}`;
  });
  return pairs.join("  ") || (change.op === "update" ? "no value is another" : visible(change.facts.sql ?? "", cell));
}

// tooLarge says of a line that is not kept whole what its beginning tells.
function tooLarge(line, size) {
  const head = decoder.decode(line.subarray(0, 4096));
  const member = (name) => head.match(new RegExp(`^\\{[^{]*?"${name}":"((?:[^"\\\\]|\\\\.)*)"`))?.[1] ?? "";
  return {
    op: member("op"), table: member("table"), at: null, key: "", row: [],
    facts: { operation: member("op"), relation: member("table") },
    note: `${bytes(size)}: too large to be shown here; wippy tail has it`,
  };
}
