// The rows of the tail, and one change in full.

import { h, byID, say } from "./dom.js";
import { summary } from "./change.js";
import { time, moment, visible } from "./format.js";

const most = 100; // rows

export class Rows {
  // opened is called when a change is opened.
  constructor(opened) {
    this.opened = opened;
    this.body = byID("tail-rows");
    this.region = byID("tail-scroll");
    this.detail = byID("detail");
    this.changes = new WeakMap();
    this.current = null; // the button of the change that is open
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && this.changes.has(row) && !getSelection().toString()) this.open(row);
    });
    this.region.addEventListener("keydown", (event) => this.#walk(event));
    byID("detail-close").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.detail.hidden) this.close();
    });
  }

  // add puts changes and notes, the oldest first, above all others.
  add(items) {
    const fragment = document.createDocumentFragment();
    for (const item of items) fragment.prepend(typeof item === "string" ? note(item) : this.#row(item));
    const held = this.body.contains(document.activeElement);
    this.body.prepend(fragment);
    while (this.body.rows.length > most) this.body.rows[most].remove();
    if (held && !this.body.contains(document.activeElement)) this.region.focus();
    byID("tail-empty").hidden = this.body.rows.length > 0;
  }

  clear() {
    this.body.replaceChildren();
    byID("tail-empty").hidden = false;
  }

  #row(change) {
    const row = h("tr", { "data-op": change.op },
      h("td", {}, h("button", { type: "button", tabindex: "-1" }, change.at === null ? "unknown" : time(change.at))),
      h("td", {}, h("span", { class: "op" }, change.op)),
      h("td", {}, h("bdi", {}, visible(change.table, 60))),
      h("td", {}, h("bdi", {}, change.key)),
      h("td", {}, h("bdi", {}, summary(change))));
    this.changes.set(row, change);
    return row;
  }

  // walk moves through the changes by keys.
  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = [...this.body.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const next = at < 0 ? buttons[0] : buttons[at + step];
    if (!next) return;
    event.preventDefault();
    this.opened();
    next.focus();
  }

  open(row) {
    this.opened();
    this.current = row.querySelector("button");
    const change = this.changes.get(row);
    say(byID("detail-title"), `${change.op} of ${visible(change.table, 60)}`);
    const facts = { committed: change.at === null ? "" : moment(change.at), ...change.facts, note: change.note };
    byID("detail-facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, h("bdi", {}, visible(value, 2000))))));
    byID("detail-row").replaceChildren(...change.row.map((c) => h("tr", { "data-changed": c.changed },
      h("th", { scope: "row" }, h("bdi", {}, visible(c.name, 200))),
      h("td", {}, h("bdi", {}, c.before ?? "")), h("td", {}, h("bdi", {}, c.after ?? "")))));
    byID("detail-row").closest(".scroll").hidden = change.row.length === 0;
    this.detail.hidden = false;
    this.detail.focus();
  }

  close() {
    this.detail.hidden = true;
    (this.current?.isConnected ? this.current : this.region).focus();
  }
}

function note(text) {
  return h("tr", { class: "note" }, h("td", { colspan: "5" }, text));
}
