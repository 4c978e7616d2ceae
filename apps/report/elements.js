"use strict";
// Elements, tables and numbers. Whatever comes from the data becomes text of an element, never HTML.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const percent = (x, digits = 1) => (isNumber(x) ? (100 * x).toFixed(digits) : "–");
const interval = (x, half) => (isNumber(x) ? percent(x) + (isNumber(half) ? " ± " + percent(half) : "") : "–");
const whole = (x) => (isNumber(x) ? x.toLocaleString("en") : "–");
const digits = (x, n) => (isNumber(x) ? x.toPrecision(isNumber(n) ? n : 3) : "–");
const range = (low, high) => (low === high ? String(high) : low + "–" + high);
const letter = (label) => (label < 26 ? String.fromCharCode(65 + label) : String(label + 1));

// Columns of tables: `of` gives the value of a row, by which the column sorts, and `show` its text.
const text = (title, of, more = {}) => ({ title, of, left: true, show: (row) => of(row), ...more });
const number = (title, of, show = whole) => ({ title, of, show: (row) => show(of(row), row) });

// A table that sorts by a column when its title is clicked, or Enter or Space pressed there.
function table(caption, columns, rows) {
  const body = element("tbody");
  const heads = columns.map((column, i) =>
    element("th", { scope: "col", class: column.left ? "left" : null },
      element("button", { type: "button", onclick: () => sort(i) }, column.title)));
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) =>
    element("tr", {}, columns.map((column) =>
      element("td", { class: column.wrap ? "wrap" : column.left ? "left" : null }, column.show(row))))));
  const compare = (a, b) => (typeof a === "string"
    ? a.localeCompare(b, "en", { numeric: true })
    : (isNumber(a) ? a : -Infinity) - (isNumber(b) ? b : -Infinity));
  function sort(i) {
    const down = heads[i].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
    fill([...rows].sort((a, b) => (down ? -1 : 1) * compare(columns[i].of(a), columns[i].of(b))));
  }
  fill(rows);
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", {},
      element("caption", { hidden: true }, caption), element("thead", {}, element("tr", {}, heads)), body));
}

const note = (...parts) => element("p", { class: "note" }, ...parts);

// Buttons of which one is chosen; `choose(i)` is called at once for the first.
function choices(label, names, choose) {
  const buttons = names.map((name, i) =>
    element("button", { type: "button", class: "choice", onclick: () => pick(i) }, name));
  function pick(i) {
    buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(i === j)));
    choose(i);
  }
  const box = element("div", { class: "choices", role: "group", "aria-label": label },
    element("span", {}, label + ":"), buttons);
  box.pickFirst = () => pick(0);
  return box;
}
