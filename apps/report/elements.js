"use strict";
// Elements, tables and numbers. Whatever comes from the data becomes text of an element, never HTML.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const percent = (x, digits = 1) => (isNumber(x) ? (100 * x).toFixed(digits) : "–");
const interval = (x, half) => (isNumber(x) ? percent(x) + (isNumber(half) ? " ± " + percent(half) : "") : "–");
const whole = (x) => (isNumber(x) ? x.toLocaleString("en") : "–");
const digits = (x, n = 3) => (isNumber(x) ? x.toPrecision(n) : "–");
const range = (low, high) => (low === high ? String(high) : low + "–" + high);
const letter = (label) => (label < 26 ? String.fromCharCode(65 + label) : String(label + 1));

// A table whose columns sort: {title, of: row => value to sort by, show: row => text or element, left: a text column, wrap}.
function table(caption, columns, rows) {
  const body = element("tbody");
  const heads = columns.map((column, i) =>
    element("th", { scope: "col", class: column.left || column.wrap ? "left" : null },
      element("button", { type: "button", onclick: () => sort(i) }, column.title)));
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) =>
    element("tr", {}, columns.map((column) =>
      element("td", { class: column.wrap ? "wrap" : column.left ? "left" : null }, column.show ? column.show(row) : String(column.of(row) ?? "–"))))));
  const compare = (a, b) => (typeof a === "string" || typeof b === "string" ? String(a ?? "").localeCompare(String(b ?? ""), "en", { numeric: true })
    : (isNumber(a) ? a : -Infinity) - (isNumber(b) ? b : -Infinity));
  function sort(i) {
    const down = heads[i].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
    fill([...rows].sort((a, b) => (down ? -1 : 1) * compare(columns[i].of(a), columns[i].of(b))));
  }
  fill(rows);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", {}, element("caption", { hidden: true }, caption), element("thead", {}, element("tr", {}, heads)), body));
}

const note = (...text) => element("p", { class: "note" }, ...text);

// Buttons of which one is chosen; `choose(i)` is called at once for the first.
function choices(label, names, choose) {
  const buttons = names.map((name, i) => element("button", { type: "button", class: "choice", onclick: () => pick(i) }, name));
  function pick(i) {
    buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(i === j)));
    choose(i);
  }
  const box = element("div", { class: "choices", role: "group", "aria-label": label }, element("span", {}, label + ":"), buttons);
  box.pickFirst = () => pick(0);
  return box;
}
