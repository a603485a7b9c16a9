// What a person sets of the tail. It is kept in the address behind #, so that a page can be opened with it.

import { h, byID, say, mark, keyed } from "./dom.js";
import { Rows } from "./rows.js";
import { Tail } from "./tail.js";

export function newTail(happened) {
  const form = byID("filter");
  const pause = byID("pause");
  const source = byID("tail-source");
  const tables = byID("tail-tables");
  const boxes = [...form.querySelectorAll("[name=op]")];
  const rows = new Rows(() => setPaused(true));
  const tail = new Tail({ rows, happened, tell: ({ state, text }) => {
    mark(byID("tail-state"), "data-state", state);
    say(byID("tail-state"), text);
    showRate();
  } });
  let current = ""; // what the tail reads, as a text

  function showRate() {
    say(byID("tail-rate"), tail.rate());
  }

  function setPaused(on) {
    tail.pause(on);
    mark(pause, "aria-pressed", String(on));
    say(pause, on ? "Go on" : "Pause");
    showRate();
  }

  // apply reads what is set, if it is something else than before.
  function apply() {
    if (!source.value) return;
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    if (chosen.length === 0) {
      mark(byID("tail-state"), "data-state", "failed");
      say(byID("tail-state"), "No operation is chosen: the tail reads on as before. Choose one at least");
      return;
    }
    const wanted = {
      source: source.value,
      tables: tables.value.split(",").map((word) => word.trim()).filter(Boolean).join(","),
      ops: chosen.length === boxes.length ? "" : chosen.join(","),
    };
    const text = JSON.stringify(wanted);
    if (text === current) return;
    current = text;
    const kept = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    history.replaceState(null, "", `#${kept}`);
    rows.clear();
    tail.want(wanted);
  }

  const asked = new URLSearchParams(location.hash.slice(1));
  tables.value = asked.get("tables") ?? "";
  if (asked.get("ops")) for (const box of boxes) box.checked = asked.get("ops").split(",").includes(box.value);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  form.addEventListener("change", apply);
  pause.addEventListener("click", () => setPaused(!tail.paused));
  byID("clear").addEventListener("click", () => rows.clear());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "p") setPaused(!tail.paused);
    else if (event.key === "/") tables.focus();
    else return;
    event.preventDefault();
  });

  return {
    away: () => tail.away(),
    hide: (on) => tail.hide(on),
    // offer lists the sources to choose from; one that is gone stays as long as it is chosen.
    offer(sources) {
      const chosen = source.value || asked.get("source") || (sources.find((s) => s.state === "running") ?? sources[0])?.id;
      const ids = sources.map((s) => s.id);
      if (chosen && !ids.includes(chosen)) ids.push(chosen);
      keyed(source, ids, (id) => id, (id) => ({ node: h("option", { value: id }, id) }), () => {});
      if (chosen && source.value !== chosen) source.value = chosen;
      if (current) tail.look();
      else apply();
      showRate();
    },
  };
}
