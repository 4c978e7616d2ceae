// Drawings in SVG: atoms as pictures, and which layers use which coefficients.

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Blue below zero, white at zero, red above; `scale` is the value of the full colour.
function signColour(value, scale) {
  const t = Math.max(-1, Math.min(1, scale > 0 ? value / scale : 0)), low = Math.round(255 * (1 - Math.abs(t)));
  return t < 0 ? `rgb(${low},${Math.round(255 - 130 * -t)},255)` : `rgb(255,${Math.round(255 - 160 * t)},${low})`;
}

function atomPicture(values, size, scale, name) {
  const says = `${name}: ${values.map((value) => digits(value, 2)).join(" ")}`, title = svg("title");
  const picture = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": says });
  values.forEach((value, i) => picture.append(
    svg("rect", { x: i % size, y: Math.floor(i / size), width: 1.02, height: 1.02, fill: signColour(value, scale) })));
  title.textContent = says;
  picture.append(title);
  return picture;
}

// One layer's atoms before and after adaptation, in one scale, and what lies between, in a scale of its own.
function atomRows(layer, adapted) {
  const most = (...atoms) => Math.max(...atoms.flat(2).map(Math.abs)), scale = most(layer.before, layer.after);
  const change = layer.after.map((atom, m) => atom.map((value, i) => value - layer.before[m][i]));
  const row = (name, atoms, scale) => element("div", { class: "row" }, element("span", {}, name),
    atoms.map((values, m) => atomPicture(values, layer.size, scale, `${layer.layer}, atom ${m + 1} ${name}`)));
  return element("div", {}, element("h3", {}, layer.layer),
    row(adapted ? "before" : "", layer.before, scale),
    adapted ? [row("after", layer.after, scale), row("change", change, most(change))] : null);
}

// Left: coefficients; right: layers, each joined to those it uses.
function sharingDiagram(layers) {
  const groups = [...new Set(layers.map((layer) => layer.coefficients).filter((name) => name !== null))];
  const step = 40, height = step * Math.max(layers.length, groups.length) + 8;
  const drawing = svg("svg", { class: "sharing", viewBox: `0 0 400 ${height}`, role: "img" });
  const users = (name) => layers.filter((layer) => layer.coefficients === name).map((layer) => layer.name);
  const says = groups.map((name) => `${name} serve ${users(name).join(", ")}`);
  drawing.setAttribute("aria-label", `Coefficients and the layers that use them: ${says.join("; ")}.`);
  const box = (x, y, width, title, small) => {
    const lines = [svg("text", { x: x + 7, y: y + 14 }), svg("text", { x: x + 7, y: y + 27, class: "small" })];
    lines[0].textContent = title;
    lines[1].textContent = small;
    return [svg("rect", { x, y, width, height: 33, rx: 5 }), ...lines];
  };
  const groupTop = (i) => 4 + ((height - 8) / groups.length) * (i + 0.5) - 16;
  layers.forEach((layer, i) => {
    const at = groups.indexOf(layer.coefficients);
    if (at >= 0) {
      const from = groupTop(at) + 16, to = 4 + step * i + 16;
      const way = `M146,${from} C180,${from} 180,${to} 214,${to}`;
      drawing.append(svg("path", { d: way, fill: "none", "stroke-width": 2, stroke: "currentColor", opacity: 0.55 }));
    }
    const own = `own kernel ${layer.out}×${layer.in}×${layer.kernel}×${layer.kernel}`;
    drawing.append(...box(214, 4 + step * i, 182, layer.name, at < 0 ? own : "atoms " + layer.atoms_shape.join("×")));
  });
  groups.forEach((name, i) => {
    const layer = layers.find((one) => one.coefficients === name);
    drawing.append(...box(4, groupTop(i), 142, name,
        layer.coefficients_shape ? layer.coefficients_shape.join("×") : ""));
  });
  return drawing;
}
