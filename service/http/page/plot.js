// A small plot of the last 5 minutes.

const space = "http://www.w3.org/2000/svg";
const width = 120;
const height = 34;

function part(name, attributes) {
  const node = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

export class Plot {
  // what is what the plot shows, for those who do not see it.
  constructor(what) {
    this.what = what;
    this.area = part("path", { class: "area" });
    this.line = part("path", { class: "line" });
    this.node = part("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
    this.node.append(this.area, this.line);
  }

  // show draws the lines of History. words writes a value.
  show({ lines, highest }, words) {
    const y = (value) => (height - 1 - (highest > 0 ? value / highest : 0) * (height - 3)).toFixed(1);
    let line = "";
    let area = "";
    for (const points of lines) {
      const walk = points.map(({ x, value }) => `${(x * width).toFixed(1)} ${y(value)}`).join("L");
      const from = (points[0].x * width).toFixed(1);
      const to = (points.at(-1).x * width).toFixed(1);
      line += `M${walk}`;
      area += `M${from} ${height}L${walk}L${to} ${height}Z`;
    }
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    this.node.setAttribute("aria-label", `${this.what} in the last 5 minutes: at most ${words(highest)}`);
  }
}

// Figure is a number with its plot.
export class Figure {
  constructor(history, key, what, words) {
    Object.assign(this, { history, key, words });
    this.plot = new Plot(what);
    this.number = document.createElement("span");
    this.number.className = "number";
    this.peak = document.createElement("span");
    this.peak.className = "peak";
    this.node = document.createElement("td");
    this.node.className = "figure";
    const box = document.createElement("div");
    box.append(this.number, this.plot.node, this.peak);
    this.node.append(box);
  }

  // show shows the value now, or a text in place of a number.
  show(value, now, instead) {
    const lines = this.history.lines(this.key, now);
    const text = instead ?? this.words(value);
    if (this.number.textContent !== text) this.number.textContent = text;
    this.plot.show(lines, this.words);
    const peak = lines.highest > 0 ? `max ${this.words(lines.highest)}` : "";
    if (this.peak.textContent !== peak) this.peak.textContent = peak;
  }
}
