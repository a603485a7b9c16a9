// What was seen lately, of everything that has a plot. It is kept by this page alone.

const span = 5 * 60; // seconds
const broken = 3.5; // a line is not drawn over a longer pause, in seconds

export class History {
  constructor() {
    this.series = new Map();
  }

  // add notes a value at a time in seconds; null breaks the line.
  add(key, at, value) {
    let points = this.series.get(key);
    if (!points) this.series.set(key, (points = []));
    points.push({ at, value });
    while (points.length > 0 && points[0].at < at - span) points.shift();
  }

  // keep forgets the series whose newest value is older than what plots show.
  keep(now) {
    for (const [key, points] of this.series) if (points.at(-1).at < now - span) this.series.delete(key);
  }

  // lines returns the lines of a plot: lists of {x, value} with x from 0 to 1, and the highest value.
  lines(key, now) {
    const lines = [];
    let line = null;
    let last = -Infinity;
    let highest = 0;
    for (const { at, value } of this.series.get(key) ?? []) {
      if (value === null) {
        line = null;
        continue;
      }
      if (line === null || at - last > broken) lines.push((line = []));
      line.push({ x: Math.max(0, 1 - (now - at) / span), value });
      last = at;
      highest = Math.max(highest, value);
    }
    return { lines, highest };
  }

  // grows reports whether the values of the last minute have only become larger, looked at by quarters of it.
  grows(key, now) {
    const quarters = [[], [], [], []];
    for (const { at, value } of this.series.get(key) ?? []) {
      const age = now - at;
      if (value !== null && age < 60) quarters[3 - Math.floor(age / 15)].push(value);
    }
    if (quarters.some((values) => values.length === 0)) return false;
    const lowest = quarters.map((values) => Math.min(...values));
    return lowest.every((value, n) => n === 0 || value > lowest[n - 1]);
  }
}

// Rates makes rates of counters.
export class Rates {
  constructor() {
    this.counters = new Map();
  }

  // of notes a counter, and returns how much a second it has grown since it was noted last; null if that is not known.
  of(key, at, counter) {
    const before = this.counters.get(key);
    this.counters.set(key, { at, counter });
    if (!before || counter < before.counter || at <= before.at || at - before.at > 10) return null;
    return (counter - before.counter) / (at - before.at);
  }

  // forget makes all begin anew: the app was restarted.
  forget() {
    this.counters.clear();
  }
}
