// What the page says of one run.

function atomsSection(run) {
  if (!run.looks || run.looks.length === 0) return [note("No episode of this run was looked at.")];
  const adapts = run.own_steps > 0, episode = `episode ${run.looks[0].episode}, ${run.own_steps} inner steps`;
  const pictures = run.atom_pictures.length === 0
    ? [note("This network has plain convolutions: there are no atoms to show.")]
    : [note((adapts ? `Before and after adaptation to ${episode}; ` : "The run adapts nothing; ")
        + "blue is below zero, white zero, red above, in one scale for each layer"
        + (adapts ? ", the change in a scale of its own." : ".")),
      element("div", { class: "atoms" }, run.atom_pictures.map((layer) => atomRows(layer, adapts)))];
  return run.moved.length > 0 && adapts ? [...pictures, movedChart(run, episode)] : pictures;
}

function movedChart(run, episode) {
  const shown = run.moved.filter((tensor) => !tensor.from_zero).slice(0, 60), heading = "|after − before| / |before|";
  return figure(`How far adaptation moved each tensor, ${episode}`,
    shown.map((tensor) => `${tensor.name} ${digits(tensor.relative)}`).join(", ") + ".",
    (c) => ({
      type: "bar",
      data: { labels: shown.map((tensor) => tensor.name),
        datasets: [
          { label: heading, backgroundColor: seriesColour(c, 0), data: shown.map((tensor) => tensor.relative) },
        ] },
      options: {
        indexAxis: "y", plugins: { legend: { display: false } },
        scales: { x: axis(c, heading, { beginAtZero: true }),
            y: axis(c, "", { title: { display: false }, ticks: { autoSkip: false } }) },
      },
    }), table("How far adaptation moved each tensor", [
      text("tensor", (tensor) => tensor.name),
      text("role", (tensor) => tensor.role),
      number("relative norm", (tensor) => tensor.relative,
        (x, tensor) => digits(x) + (tensor.from_zero ? " (from zero: the norm itself)" : "")),
      number(`mean of ${run.looks.length} episodes`, (tensor) => tensor.mean, digits),
    ], run.moved), 90 + 20 * shown.length);
}

function sharingSection(run) {
  const names = run.layers.map((layer) => layer.coefficients).filter((name) => name !== null);
  const tensors = new Set(names).size;
  const shared = tensors === 1 ? "one coefficient tensor" : tensors + " coefficient tensors";
  const says = names.length === 0 ? `Convolutions are ${run.conv}: each layer has its own weights.`
    : `Sharing ${run.sharing}: ${shared} for ${names.length} of ${run.layers.length} layers.`;
  return [
    note(says),
    names.length > 0 ? sharingDiagram(run.layers) : "",
    element("details", {}, element("summary", {}, "As a table"), table("Layers and coefficients", [
      text("layer", (layer) => layer.name),
      number("block", (layer) => layer.block),
      number("stage", (layer) => layer.stage),
      text("channels", (layer) => `${layer.in} → ${layer.out}`),
      text("kernel", (layer) => `${layer.kernel}×${layer.kernel}`),
      text("coefficients", (layer) => layer.coefficients ?? "own kernel"),
      text("their shape", (layer) => layer.coefficients_shape?.join("×") ?? "–"),
      text("atoms", (layer) => layer.atoms_shape?.join("×") ?? "–"),
    ], run.layers)),
  ];
}

// One picture of an episode; a query picture with what it was taken for.
function picture(stored, label, classes, kind, predicted) {
  const name = (i) => classes[i] ?? letter(i), wrong = kind === "query" && predicted !== label;
  const outcome = kind === "support" ? "" : wrong ? `, taken for ${name(predicted)}` : ", right";
  const says = `${kind} picture of ${name(label)}${outcome}`;
  return element("figure", { class: "picture " + (kind === "support" ? "support" : wrong ? "wrong" : "right") },
    stored && stored.src.startsWith("data:image/")
      ? element("img", { src: stored.src, alt: says, title: `${says} (${stored.name})` })
      : element("div", { class: "none", role: "img", "aria-label": says }),
    element("figcaption", {}, kind === "support" ? "support" : wrong ? "✗ " + letter(predicted) : "✓"));
}

function episodeCard(group, run, look) {
  const episode = group.looked_at.find((one) => one.episode === look.episode), pictures = element("div");
  const of = (kind, label, predictions) => episode[kind].flatMap((image, i) => (image.label !== label ? []
    : [picture(group.pictures[image.picture], label, episode.classes, kind, predictions[i])]));
  const show = (predictions) =>
    pictures.replaceChildren(...episode.classes.map((name, label) => element("div", { class: "class" },
    element("h4", {}, `${letter(label)}  ${name}`),
    element("div", { class: "pictures" }, of("support", label, predictions), of("query", label, predictions)))));
  const after = `after ${run.own_steps} steps (${percent(look.accuracy_after)} %)`;
  const parts = [pictures, episode.note ? note(episode.note) : ""];
  if (run.own_steps === 0 || look.before === null) {
    show(look.after);
    return [note(`Accuracy ${percent(look.accuracy_after)} %.`), ...parts];
  }
  const before = `before (${percent(look.accuracy_before)} %)`;
  const box = choices("Predictions", [after, before], (i) => show(i === 0 ? look.after : look.before));
  box.pickFirst();
  return [box, ...parts];
}

function featureMaps(run, look) {
  const map = look.map, adapts = run.own_steps > 0, named = (label) => `${letter(label)} ${map.classes[label] ?? ""}`;
  // Both maps have the same axes, so that they can be compared.
  const all = [map.before, map.after].flatMap((part) => [...part.support, ...part.query]);
  const limits = (k) => {
    const values = all.map((point) => point[k]), low = Math.min(...values), high = Math.max(...values);
    const margin = 0.06 * (high - low || 1);
    const ticks = { callback: (value) => digits(value, 2), maxTicksLimit: 7, includeBounds: false };
    return { min: low - margin, max: high + margin, ticks };
  };
  const short = (name) => (name.length > 26 ? name.slice(0, 25) + "…" : name);
  const queriesAlone = { filter: (item, chart) => !chart.datasets[item.datasetIndex].support };
  const chart = (title, points) => figure(title,
      `Support and query images of ${map.classes.map((_, label) => named(label)).join(", ")}.`,
    (c) => {
      const of = (kind, label) =>
        points[kind].filter((_, i) => map[kind + "_labels"][i] === label).map(([x, y]) => ({ x, y }));
      const style = (label) =>
        ({ label: short(named(label)), backgroundColor: seriesColour(c, label), pointStyle: seriesPoint(label) });
      const large = { support: true, borderColor: c.ink, borderWidth: 2, pointRadius: 9 };
      const shown = map.classes.slice(0, 40).map((_, label) => label);
      return {
        type: "scatter",
        data: { datasets: [
          ...shown.map((label) => ({ ...style(label), ...large, data: of("support", label) })),
          ...shown.map((label) => ({ ...style(label), borderColor: seriesColour(c, label), pointRadius: 3.5,
              data: of("query", label) })),
        ] },
        options: {
          scales: { x: axis(c, "first axis", limits(0)), y: axis(c, "second axis", limits(1)) },
          plugins: { legend: legend(c, queriesAlone) },
        },
      };
    }, table(title, [
      text("image", (row) => row.kind),
      text("class", (row) => named(row.label)),
      number("first axis", (row) => row.x, digits),
      number("second axis", (row) => row.y, digits),
    ], ["support", "query"].flatMap((kind) =>
        points[kind].map(([x, y], i) => ({ kind, x, y, label: map[kind + "_labels"][i] })))), 380);
  const share = (x) => `${percent(x, 0)} % of the variance is in the plane`;
  return [
    element("div", { class: "side" },
      adapts ? chart("Features before adaptation", map.before) : null,
      chart(adapts ? "Features after adaptation" : "Features", map.after)),
    note("What the head sees, in the plane of the first two principal components of "
      + (adapts ? "both, each minus its own mean" : "these images") + "; large points are support images. "
      + (adapts ? `Before: ${share(map.explained_before)}; after: ${share(map.explained_after)}.`
        : share(map.explained_after) + ".")),
  ];
}

function confusionSection(run) {
  const confusion = run.confusion, names = confusion.classes, more = confusion.classes_seen > names.length;
  const cell = (count, total, title) => element("td", { style: `--share:${total ? (0.85 * count) / total : 0}`, title },
    count > 0 ? percent(count / total, 0) : "");
  const head = [element("th", { class: "left", scope: "col" }, "is \\ taken for"),
    names.map((name, i) => element("th", { scope: "col", title: name }, letter(i))),
    more ? element("th", { scope: "col" }, "other") : null];
  const rows = names.map((name, i) => {
    const total = confusion.query_images[i], counts = confusion.counts[i];
    const other = total - counts.reduce((sum, count) => sum + count, 0);
    return element("tr", {},
      element("th", { class: "left", scope: "row", title: name }, `${letter(i)}  ${name}`),
      counts.map((count, j) => cell(count, total, `${name} taken for ${names[j]}: ${count} of ${total}`)),
      more ? cell(other, total, `${name} taken for a class that is not shown: ${other} of ${total}`) : null);
  });
  return [
    note("Query images by class and by the class they were taken for, in percent of the class's images, "
      + `after ${confusion.inner_steps} inner steps. Only classes of the same episode can be confused.`
      + (more ? ` Shown: the ${names.length} classes with the most mistakes, of ${whole(confusion.classes_seen)}.`
        : "")),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion between classes" },
      element("table", { class: "confusion" }, element("thead", {}, element("tr", {}, head)),
        element("tbody", {}, rows))),
    element("h3", {}, "Most confused"),
    table("Most confused pairs", [
      text("class", (pair) => pair.class),
      text("taken for", (pair) => pair.taken_for),
      number("images", (pair) => pair.count),
      number("of", (pair) => pair.of),
      number("%", (pair) => pair.count / pair.of, (share) => percent(share)),
    ], confusion.pairs),
    note("Of: the class's query images in episodes that had both classes."),
  ];
}

function worstSection(run) {
  return [
    note(`The episodes with the lowest accuracy after ${run.own_steps} inner steps. `,
      "The command evaluates that episode alone."),
    table("Worst episodes", [
      number("episode", (row) => row.episode, String),
      number("accuracy %", (row) => row.accuracy, (x) => percent(x)),
      number("loss", (row) => row.loss, digits),
      text("classes", (row) => row.classes.join(", "), { wrap: true }),
      text("command", (row) => row.command, { wrap: true, show: (row) => element("code", {}, row.command) }),
    ], run.worst),
  ];
}
