// Lines of a stream of bytes. What is not shown is never decoded: at 10,000 changes a second the page looks for line
// feeds, and no more.

const feed = 10;

export class Lines {
  // take is called with the bytes of each line, as far as they are kept, and with its size.
  constructor(take, most = 2 << 20) {
    this.take = take;
    this.most = most;
    this.parts = []; // of a line that has not ended yet
    this.kept = 0;
    this.size = 0;
  }

  push(chunk) {
    let from = 0;
    for (let at = chunk.indexOf(feed); at >= 0; at = chunk.indexOf(feed, from)) {
      const end = chunk.subarray(from, at);
      from = at + 1;
      if (this.size === 0) {
        this.take(end.length > this.most ? end.subarray(0, this.most) : end, end.length);
        continue;
      }
      this.#keep(end);
      this.take(this.#join(), this.size);
      this.parts = [];
      this.kept = this.size = 0;
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
  }

  #keep(part) {
    const room = this.most - this.kept;
    this.size += part.length;
    if (room <= 0) return;
    const some = part.length > room ? part.subarray(0, room) : part;
    this.parts.push(some);
    this.kept += some.length;
  }

  #join() {
    const line = new Uint8Array(this.kept);
    let at = 0;
    for (const part of this.parts) {
      line.set(part, at);
      at += part.length;
    }
    return line;
  }
}

// Sample keeps some of what is added, each of it as likely as another.
export class Sample {
  constructor(most) {
    this.most = most;
    this.clear();
  }

  clear() {
    this.kept = [];
    this.seen = 0;
  }

  add(item) {
    const entry = { item, order: this.seen++ };
    if (this.kept.length < this.most) {
      this.kept.push(entry);
      return;
    }
    const place = Math.floor(Math.random() * this.seen);
    if (place < this.most) this.kept[place] = entry;
  }

  // takeSome returns some of what is kept in the order in which it was added, and begins anew.
  takeSome(most) {
    let chosen = this.kept;
    while (chosen.length > most) chosen.splice(Math.floor(Math.random() * chosen.length), 1);
    chosen = chosen.sort((a, b) => a.order - b.order).map(({ item }) => item);
    this.clear();
    return chosen;
  }
}

// Meter tells how many there were in the last second, of what is counted some times a second.
export class Meter {
  constructor() {
    this.counts = [];
  }

  count(now, n) {
    this.counts.push({ now, n });
  }

  // last returns the number of the last second before now, in milliseconds.
  last(now) {
    while (this.counts.length > 0 && this.counts[0].now <= now - 1000) this.counts.shift();
    return this.counts.reduce((sum, { n }) => sum + n, 0);
  }
}
