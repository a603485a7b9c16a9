// What is wrong now, and what to do.

import { bytes, count, duration, plural } from "./format.js";

const patience = 10_000; // milliseconds until what is on its way counts as a problem
const much = 1 << 20; // bytes of lag that are worth a word

// problems lists what is wrong: {key, level, title, text, cure}.
export function problems(status, now, grows) {
  return [...entries(status, now), ...sources(status), ...consumers(status, now, grows), ...streams(status, grows), ...sinks(status)];
}

function* entries({ app, entries: all }, now) {
  const reload = `kill -HUP ${app.pid}`;
  for (const e of all) {
    const since = Date.parse(e.since ?? "") || now;
    const text = e.error?.message ?? "";
    const key = `entry:${e.id}`;
    switch (e.state) {
      case "backoff":
        yield { key, level: "bad", title: `${e.id} has failed`, text,
          cure: `It is started again by itself (${plural(e.attempts, "attempt")} so far). If the declaration is wrong: mend it, then ${reload}` };
        break;
      case "failed":
        yield { key, level: "bad", title: `${e.id} has failed for good`, text, cure: `It is not started again by itself. Mend the cause, then ${reload}` };
        break;
      case "stopped":
      case "unknown":
        yield { key, level: "bad", title: `${e.id} does not run`, text, cure: `What it requires may not run: see there. ${reload} starts it again` };
        break;
      case "starting":
        if (now - since > patience) {
          yield { key, level: "warn", title: `${e.id} has been starting for ${duration(now - since)}`, text, cure: "What it waits for is in the log of the app" };
        }
    }
  }
}

function* sources({ sources: all, entries: known }) {
  for (const s of all) {
    const told = known.some((e) => e.id === s.id && e.state !== "running" && e.state !== "starting");
    if (s.state === "faulted" && !told) {
      yield { key: `source:${s.id}`, level: "bad", title: `${s.id} is faulted`, text: s.error?.message ?? "",
        cure: s.error?.retryable ? "It is started again by itself" : "Mend the cause, then reload the app" };
    }
    if (s.checkpoint_error) {
      yield { key: `checkpoint:${s.id}`, level: "warn", title: `${s.id} cannot write its checkpoint`, text: s.checkpoint_error.message,
        cure: "The source goes on. After a crash it would know only an older position" };
    }
  }
}

function* consumers({ consumers: all }, now, grows) {
  for (const c of all) {
    const key = `consumer:${c.source}/${c.name}`;
    const behind = c.lag_transactions > 0 || c.lag_bytes > 0;
    const away = now - Date.parse(c.acked_at);
    const lag = `${bytes(c.lag_bytes)}${c.lag_transactions === null ? "" : `, ${plural(c.lag_transactions, "transaction")}`}`;
    if (!c.connected && behind && away > patience) {
      yield { key, level: "warn", title: `Nothing reads consumer ${c.name} of ${c.source}`,
        text: `It acknowledged last ${duration(away)} ago; ${lag} are kept for it.`,
        cure: `Start its reader, or end it if it does not come back: wippy consumers forget ${c.source} ${c.name}` };
    } else if (c.connected && c.lag_bytes > much && grows(key)) {
      yield { key, level: "warn", title: `Consumer ${c.name} of ${c.source} falls behind`, text: `${lag} behind, and growing for a minute.`,
        cure: `Its reader ${c.reader ? `(${c.reader}) ` : ""}is slower than the writers, or does not acknowledge` };
    }
  }
}

function* streams({ streams: all }, grows) {
  for (const s of all) {
    if (s.consumer || !(s.lag_bytes > much) || !grows(`stream:${s.id}`)) continue;
    yield { key: `stream:${s.id}`, level: "warn", title: `A stream of ${s.source} falls behind`,
      text: `${s.reader || s.id} is ${bytes(s.lag_bytes)} behind, and growing for a minute.`,
      cure: "A stream that reads memory is ended at its max_bytes. Its reader must become faster, or select less" };
  }
}

function* sinks({ sinks: all, entries: known }) {
  for (const s of all) {
    const told = known.some((e) => e.id === s.id && e.state !== "running" && e.state !== "starting");
    if (s.state === "faulted" && !told) {
      yield { key: `sink:${s.id}`, level: "bad", title: `${s.id} is faulted`, text: s.error?.message ?? "",
        cure: "Nothing is skipped: it goes on where it was. Mend the cause, then reload the app" };
    } else if (s.error && !told) {
      yield { key: `sink:${s.id}`, level: "warn", title: `${s.id} cannot deliver`, text: s.error.message,
        cure: `It tries again by itself (${plural(s.attempts, "attempt")} so far); nothing is skipped` };
    }
    if (s.parked > 0) {
      yield { key: `parked:${s.id}`, level: "warn", title: `${s.id} has put ${plural(s.parked, "change")} aside`,
        text: "The destination has refused them, or earlier changes of the same key.",
        cure: "The table wippy_cdc_parked has them with the errors" };
    }
  }
}

// differences lists what has happened between two answers.
export function differences(before, now) {
  const list = [];
  if (!before) return list;
  if (before.app.pid !== now.app.pid || before.app.started_at !== now.app.started_at) {
    return [`The app was started again (process ${now.app.pid})`];
  }
  const earlier = new Map(before.entries.map((e) => [e.id, e]));
  for (const e of now.entries) {
    const was = earlier.get(e.id);
    if (was && was.state !== e.state) list.push(`${e.id} was ${was.state}, is ${e.state}${e.error ? `: ${e.error.message}` : ""}`);
  }
  const sources = new Map(before.sources.map((s) => [s.id, s]));
  for (const s of now.sources) {
    const was = sources.get(s.id);
    for (const [reason, text] of [["lag", "because it fell behind"], ["lost", "by a gap"]]) {
      const n = (s.stats?.ended?.[reason] ?? 0) - (was?.stats?.ended?.[reason] ?? 0);
      if (was?.stats && n > 0) list.push(`${plural(n, "stream")} of ${s.id} ended ${text}`);
    }
    const refused = s.admission.rejected - (was?.admission.rejected ?? 0);
    if (was && refused > 0) list.push(`${s.id} has refused ${plural(refused, "stream")}: ${count(s.admission.active)} are open, see subscriptions in docs/yaml.md`);
  }
  return list;
}
