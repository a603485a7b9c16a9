// Elements. Whatever comes from the app is set as text: row values are hostile.

// h makes an element: h("td", {class: "n"}, "text", child).
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byID = (id) => document.getElementById(id);

// say sets a text if it is another one, so that what a person has selected stays selected.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// mark sets an attribute if it has another value, null removes it.
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// keyed makes the children of a node those of a list: those that stay keep their element, and with it focus and
// selection. make returns an object with a node; it is kept for the key, and update is called with it.
export function keyed(parent, list, keyOf, make, update) {
  const old = parent.kept ?? new Map();
  const kept = new Map();
  for (const item of list) {
    const key = keyOf(item);
    if (kept.has(key)) continue;
    const view = old.get(key) ?? make(item);
    kept.set(key, view);
    update(view, item);
  }
  for (const [key, view] of old) if (!kept.has(key)) view.node.remove();
  let at = 0;
  for (const view of kept.values()) {
    if (parent.children[at] !== view.node) parent.insertBefore(view.node, parent.children[at] ?? null);
    at++;
  }
  parent.kept = kept;
}
