// The live tail: one stream of one source, read as lines of JSON.
//
// It shows a sample if there are more changes than a person can see, and counts the others. The server sends them all: a
// line that is not shown costs this page the search for its line feed. So the page knows how many there were, and a
// stream that is too slow is ended by its source as any other, and that is told.

import { Lines, Sample, Meter } from "./lines.js";
import { read } from "./change.js";
import { count, rate, plural, time } from "./format.js";

const perSecond = 50; // changes that are shown, when there are more
const tick = 250; // milliseconds between two changes of what is shown
const calm = 3000; // milliseconds without a change left out, until that is no longer told
const quiet = 40_000; // milliseconds without a byte: the server sends a line each 15 seconds

export class Tail {
  // rows takes what is shown; tell is called with what this stands at: {state, text}; happened with what went wrong.
  constructor({ rows, tell, happened }) {
    Object.assign(this, { rows, tell, happened });
    this.wanted = null; // {source, tables, ops}
    this.paused = this.hidden = false;
    this.stream = null; // an AbortController
    this.sample = new Sample(perSecond);
    this.seen = new Meter();
    this.shown = new Meter();
    this.notes = [];
    this.arrived = this.missed = this.delay = this.notBefore = 0;
    this.lastTick = this.lastByte = 0;
    this.sampledAt = -Infinity;
    this.sampling = this.scheduled = this.refused = false;
  }

  // want reads something else from now on.
  want(wanted) {
    this.wanted = wanted;
    this.refused = false;
    this.delay = this.notBefore = 0;
    this.#stop();
    this.look();
  }

  pause(on) {
    if (this.paused === on) return;
    this.paused = on;
    if (on) {
      this.missed = this.sample.seen;
      this.sample.clear();
    } else {
      if (this.missed > 0) this.#note(`${plural(this.missed, "change")} came during the pause: not shown`);
      this.missed = 0;
    }
    this.#say();
  }

  // hide ends the stream while the page cannot be seen: a browser gives few connections to all pages of an app.
  hide(on) {
    if (this.hidden === on) return;
    this.hidden = on;
    if (on) {
      this.hiddenAt = Date.now();
      this.#stop();
    } else {
      this.#note(`this page was hidden from ${time(this.hiddenAt)} to ${time(Date.now())}: changes of that time are not shown`);
      this.look();
    }
  }

  // look sees to it that there is a stream; it is called each second while the app answers.
  look() {
    const now = performance.now();
    if (this.stream && now - this.lastByte > quiet) {
      this.#broken("nothing has come for a while");
    }
    if (this.wanted && !this.stream && !this.hidden && !this.refused && now >= this.notBefore) this.#open();
  }

  // away is called when the app does not answer.
  away() {
    this.delay = this.notBefore = 0;
  }

  async #open() {
    const stream = (this.stream = new AbortController());
    const { source, tables, ops } = this.wanted;
    const query = new URLSearchParams({ snapshot: "false" });
    if (tables) query.set("tables", tables);
    if (ops) query.set("ops", ops);
    this.lastByte = performance.now();
    try {
      const response = await fetch(`/api/sources/${encodeURIComponent(source)}/changes?${query}`,
        { headers: { Accept: "application/x-ndjson" }, signal: stream.signal });
      if (!response.ok) {
        await this.#refuse(stream, response);
        return;
      }
      await this.#read(stream, response.body.getReader());
      if (this.stream === stream) this.#broken("the stream has ended");
    } catch (error) {
      if (this.stream === stream) this.#broken(error.name === "TypeError" ? "the connection is lost" : String(error.message));
    }
  }

  async #read(stream, reader) {
    const lines = new Lines((line, size) => this.#take(line, size));
    this.state = { state: "live", text: `Reading ${this.wanted.source}` };
    this.#say();
    let began = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.stream !== stream) return;
      this.lastByte = performance.now();
      lines.push(value);
      if (performance.now() - began > 8) { // the page must be drawn and be used in between
        await new Promise((resume) => setTimeout(resume));
        began = performance.now();
      }
    }
  }

  // refuse tells why the app does not open a stream. What a person has to change is not tried again.
  async #refuse(stream, response) {
    const problem = await response.json().catch(() => null);
    if (this.stream !== stream) return;
    this.stream = null;
    this.refused = response.status >= 400 && response.status < 500 && !problem?.error?.retryable;
    this.#later();
    this.state = { state: "failed", text: problem?.error?.message ?? `The app answers with ${response.status} ${response.statusText}` };
    this.#say();
  }

  #take(line, size) {
    if (size === 0) return; // sent so that the connection stays open
    if (line[2] === 36 && line[1] === 34) { // {"$event": no change begins so
      this.#event(JSON.parse(new TextDecoder().decode(line)));
      return;
    }
    this.delay = 0;
    this.arrived++;
    if (this.paused) this.missed++;
    else this.sample.add({ line, size });
    this.#schedule();
  }

  // event is the last that a stream tells.
  #event(event) {
    const lost = event.$event === "gap" ? ` (${event.cause}; between ${event.after} and ${event.before})` : "";
    this.happened(`The tail of ${this.wanted.source} was ended: ${event.message}${lost}`);
    this.#broken(`${event.message}${lost}`);
  }

  // broken notes that something may be missing, and tries again later.
  #broken(why) {
    this.#note(`The tail was interrupted: ${why}. It goes on with what commits from now on; what committed in between is not shown`);
    this.#stop();
    this.#later();
    this.state = { state: "waiting", text: `Interrupted: ${why}. Trying again` };
    this.#say();
  }

  #later() {
    this.notBefore = performance.now() + this.delay;
    this.delay = Math.min(10_000, this.delay * 2 || 500);
  }

  #stop() {
    const stream = this.stream;
    this.stream = null;
    stream?.abort();
  }

  #note(text) {
    this.notes.push(text);
    this.#schedule();
  }

  #schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    const wait = this.lastTick + tick - performance.now();
    setTimeout(() => requestAnimationFrame(() => this.#show()), Math.max(0, wait));
  }

  // show adds to the page what has come since it was last called.
  #show() {
    this.scheduled = false;
    const now = (this.lastTick = performance.now());
    const came = this.arrived;
    this.arrived = 0;
    this.seen.count(now, came);
    const room = Math.max(Math.floor((perSecond * tick) / 1000), perSecond - this.shown.last(now));
    const chosen = this.sample.takeSome(room).map(({ line, size }) => read(line, size));
    this.shown.count(now, chosen.length);
    if (chosen.length > 0 || this.notes.length > 0) this.rows.add([...this.notes, ...chosen]);
    this.notes = [];
    this.#judge(now);
  }

  // judge tells when changes begin to be left out, and when that has not happened for a while.
  #judge(now) {
    if (!this.paused && this.seen.last(now) > this.shown.last(now)) this.sampledAt = now;
    const sampling = now - this.sampledAt < calm;
    if (sampling === this.sampling) return;
    this.sampling = sampling;
    this.#say();
  }

  // rate says how many changes come, and how many of them are shown.
  rate() {
    const now = performance.now();
    this.#judge(now);
    const seen = this.seen.last(now);
    const shown = this.shown.last(now);
    if (!this.stream) return "";
    if (seen === 0 && !this.paused) return "no change just now";
    if (this.paused) return `${rate(seen)} a second; ${plural(this.missed, "change")} since the pause began, not shown`;
    return seen > shown ? `showing ${count(shown)} of ${rate(seen)} a second` : `${rate(seen)} a second, all shown`;
  }

  #say() {
    const { state, text } = this.state ?? { state: "waiting", text: "" };
    if (this.paused) this.tell({ state: "paused", text: `Paused. ${text}` });
    else if (state === "live" && this.sampling) this.tell({ state: "sampling", text: `${text}: a sample, more changes come than can be shown` });
    else this.tell({ state, text });
  }
}
