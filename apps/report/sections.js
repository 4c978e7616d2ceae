// The sections of the page: each function takes data and gives elements.

const runName = (data, i) => {
  const same = data.runs.filter((run) => run.name === data.runs[i].name).length > 1;
  return same ? data.runs[i].run : data.runs[i].name;
};
const groupName = (group) => `${group.dataset} ${group.split}, ${range(group.fewest_ways, group.ways)}-way ${range(group.fewest_shots, group.shots)}-shot`;
const ofGroup = (data, group) => (data.groups.length > 1 ? ", " + groupName(group) : "");
const network = (run) => `${run.backbone}-${run.width}`;
const nameColumn = (data) => ({ title: "run", left: true, of: (run) => runName(data, data.runs.indexOf(run)) });

function summary(data) {
  const parts = data.groups.map((group) => element("div", {},
    element("h3", {}, groupName(group)),
    element("p", {}, `${whole(group.episodes)} episodes of ${whole(group.classes)} classes, ${group.queries} query images per class, evaluation seed ${group.eval_seed}`
      + (group.first_episode ? `, from episode ${group.first_episode} on` : "") + (group.split_rule ? `, split rule ${group.split_rule}` : "")
      + (group.crop !== "none" && group.crop ? `, cropped to ${group.crop}` : "") + (group.runs.length > 1 ? "; the same episodes for all runs." : ".")),
    group.notices.map((text) => note("Note: " + text)),
    table("Runs on " + groupName(group), [
      nameColumn(data),
      { title: "accuracy %", of: (run) => run.accuracy, show: (run) => interval(run.accuracy, run.ci95) },
      { title: "inner steps", of: (run) => run.own_steps },
      { title: "loss", of: (run) => run.loss, show: (run) => digits(run.loss) },
      { title: "ms per task", of: (run) => atOwn(run).milliseconds, show: (run) => digits(atOwn(run).milliseconds) },
      { title: "conv weights", of: (run) => run.conv_weights, show: (run) => whole(run.conv_weights) },
      { title: "adapted", of: (run) => run.parameters_adapted, show: (run) => whole(run.parameters_adapted) },
      { title: "method", left: true, of: (run) => run.method },
      { title: "network", left: true, of: network },
      { title: "convolution", left: true, of: (run) => run.conv + (run.sharing ? ` (${run.sharing}, M = ${run.atoms})` : "") },
      { title: "scope", left: true, of: (run) => run.scope },
      { title: "norm", left: true, of: (run) => run.norm + (run.transductive ? " (transductive)" : "") },
      { title: "trained on", left: true, of: (run) => run.trained_on },
      { title: "iterations", of: (run) => run.iteration, show: (run) => whole(run.iteration) },
      { title: "seed", of: (run) => run.seed },
    ], group.runs.map((i) => data.runs[i])),
    paired(data, group)));
  return [...parts, note(`Intervals are 95 % over episodes. Made by fewatoms ${data.program} on ${data.machine.processor}, ${data.machine.cores} hardware threads; `
    + "times are medians of single tasks on one thread, from decoded support images to adapted parameters.")];
}

const atOwn = (run) => run.by_steps.find((step) => step.inner_steps === run.own_steps);

function paired(data, group) {
  if (group.paired.length === 0) return null;
  return element("div", {}, element("h3", {}, "Differences, paired by episode"), table("Differences in points, paired by episode", [
    { title: "run", left: true, of: (pair) => runName(data, pair.run) },
    { title: "minus", left: true, of: (pair) => runName(data, pair.minus) },
    { title: "points", of: (pair) => pair.difference, show: (pair) => interval(pair.difference, pair.ci95) },
    { title: "interval excludes 0", left: true, of: (pair) => (Math.abs(pair.difference) > pair.ci95 ? "yes" : "no") },
  ], group.paired));
}

function trainingCurves(data) {
  const runs = data.runs.filter((run) => run.training.curve.length > 0 || run.training.validations.length > 0);
  if (runs.length === 0) return [note("None of the runs has a training curve (metrics.jsonl).")];
  const curve = (title, key) => figure(title, runs.map((run) => {
    const last = run.training.curve.at(-1);
    return runName(data, data.runs.indexOf(run)) + (last ? ` ends at ${key === "loss" ? digits(last.loss) : percent(last.accuracy) + " %"}` : "");
  }).join("; ") + ".", (c) => ({
    type: "line",
    data: { datasets: runs.flatMap((run) => {
      const i = data.runs.indexOf(run), colour = seriesColour(c, i), name = runName(data, i);
      const line = { label: name, borderColor: colour, backgroundColor: colour, pointRadius: 0, borderWidth: 1.5,
        data: run.training.curve.map((p) => ({ x: p.iteration, y: p[key] })) };
      const points = { label: name + ", validation", borderColor: colour, backgroundColor: colour, showLine: false, pointRadius: 4, pointStyle: seriesPoint(i),
        data: run.training.validations.filter((p) => isNumber(p[key])).map((p) => ({ x: p.iteration, y: p[key], half: key === "accuracy" ? p.ci95 : null })) };
      return [line, points].filter((dataset) => dataset.data.length > 0);
    }) },
    options: options(c, axis(c, "iteration"), axis(c, key, key === "accuracy" ? percentTick : {})),
    plugins: [whiskers],
  }), table(title, [
    { title: "run", left: true, of: (row) => row.name }, { title: "iteration", of: (row) => row.iteration },
    { title: key, of: (row) => row.value, show: (row) => (key === "loss" ? digits(row.value, 4) : percent(row.value)) },
    { title: "of", left: true, of: (row) => row.kind },
  ], runs.flatMap((run) => {
    const name = runName(data, data.runs.indexOf(run)), row = (kind) => (p) => ({ name, kind, iteration: p.iteration, value: p[key] });
    return [...run.training.curve.map(row("training")), ...run.training.validations.map(row("validation"))];
  })));
  const most = Math.max(...runs.map((run) => run.training.iterations_per_point));
  return [element("div", { class: "side" }, curve("Loss of training episodes", "loss"), curve("Accuracy of training episodes", "accuracy")),
    note("Query images of training episodes after adaptation" + (most > 1 ? `, means over up to ${most} iterations` : "") + "; points are validations.")];
}

function stepCurves(data, group) {
  const runs = group.runs.map((i) => data.runs[i]);
  const marks = [...new Set(runs.flatMap((run) => run.by_steps.map((step) => step.inner_steps)))].sort((a, b) => a - b);
  const rows = runs.flatMap((run) => run.by_steps.map((step) => ({ run, ...step })));
  const title = "Accuracy by inner steps" + ofGroup(data, group);
  const chart = (key, heading, format) => figure(heading, runs.map((run) =>
    `${runName(data, data.runs.indexOf(run))}: ` + run.by_steps.map((step) => `${format(step)} after ${step.inner_steps}`).join(", ")).join("; ") + ".", (c) => ({
    type: "line",
    data: { datasets: runs.map((run, k) => {
      const i = data.runs.indexOf(run), colour = seriesColour(c, i), aside = (k - (runs.length - 1) / 2) * Math.min(0.08, 0.4 / runs.length);
      return { label: runName(data, i), borderColor: colour, backgroundColor: colour, pointStyle: seriesPoint(i), pointRadius: 4, borderWidth: 2,
        data: run.by_steps.map((step) => ({ x: marks.indexOf(step.inner_steps) + aside, y: step[key], half: key === "accuracy" ? step.ci95 : null })) };
    }) },
    options: options(c, axis(c, "inner steps", { min: -0.4, max: marks.length - 0.6, afterBuildTicks: (scale) => { scale.ticks = marks.map((_, value) => ({ value })); },
      ticks: { callback: (value) => marks[value] ?? "", autoSkip: false } }), axis(c, key, key === "accuracy" ? percentTick : {}), {
      tooltip: { callbacks: { title: () => "", label: (item) => `${item.dataset.label}, ${marks[Math.round(item.parsed.x)]} steps: `
        + (key === "accuracy" ? interval(item.raw.y, item.raw.half) + " %" : digits(item.raw.y)) } } }),
    plugins: [whiskers],
  }), table(heading, [
    { title: "run", left: true, of: (row) => runName(data, data.runs.indexOf(row.run)) },
    { title: "inner steps", of: (row) => row.inner_steps },
    { title: "accuracy %", of: (row) => row.accuracy, show: (row) => interval(row.accuracy, row.ci95) },
    { title: "loss", of: (row) => row.loss, show: (row) => digits(row.loss, 4) },
    { title: "ms to here", of: (row) => row.milliseconds, show: (row) => digits(row.milliseconds) },
  ], rows));
  return element("div", { class: "side" }, chart("accuracy", title, (step) => interval(step.accuracy, step.ci95) + " %"),
    chart("loss", "Loss by inner steps" + ofGroup(data, group), (step) => digits(step.loss)));
}

function parameterCharts(data, group) {
  const runs = group.runs.map((i) => data.runs[i]);
  const chart = (title, of, squeezed) => figure(title + ofGroup(data, group), runs.map((run) =>
    `${runName(data, data.runs.indexOf(run))}: ${whole(of(run))} numbers, ${interval(run.accuracy, run.ci95)} %`).join("; ") + ".", (c) => ({
    type: "scatter",
    data: { datasets: runs.map((run) => {
      const i = data.runs.indexOf(run), colour = seriesColour(c, i);
      return { label: runName(data, i), borderColor: colour, backgroundColor: colour, pointRadius: 6, pointStyle: seriesPoint(i),
        data: [{ x: squeezed ? Math.log10(1 + of(run)) : of(run), y: run.accuracy, half: run.ci95 }] };
    }) },
    options: options(c, axis(c, "numbers", squeezed
      ? { min: -0.2, suggestedMax: 3, ticks: { stepSize: 1, callback: (value) => (value < 0 || value % 1 ? "" : value === 0 ? "0" : whole(10 ** value)) } }
      : { beginAtZero: true, ticks: { callback: (value) => whole(value) } }), axis(c, "accuracy", { ...withWhiskers(runs), ...percentTick }), {
      tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${interval(item.raw.y, item.raw.half)} %` } } }),
    plugins: [whiskers],
  }), table(title, [
    nameColumn(data), { title: "numbers", of, show: (run) => whole(of(run)) },
    { title: "all parameters", of: (run) => run.parameters_total, show: (run) => whole(run.parameters_total) },
    { title: "accuracy %", of: (run) => run.accuracy, show: (run) => interval(run.accuracy, run.ci95) },
  ], runs));
  return element("div", { class: "side" }, chart("Convolution weights against accuracy", (run) => run.conv_weights, false),
    chart("Numbers a task changes against accuracy", (run) => run.parameters_adapted, true));
}

function atomsSection(run) {
  const adapted = run.own_steps > 0, parts = [];
  if (!run.looks || run.looks.length === 0) return [note("No episode of this run was looked at.")];
  const of = `episode ${run.looks[0].episode}, ${run.own_steps} inner steps`;
  if (run.atom_pictures.length > 0) {
    parts.push(note((adapted ? `Before and after adaptation to ${of}; ` : "The run adapts nothing. ") + "blue is below zero, white zero, red above, in one scale for each layer."));
    parts.push(element("div", { class: "atoms" }, run.atom_pictures.map((layer) => atomRows(layer, adapted))));
  } else parts.push(note("This network has plain convolutions: there are no atoms to show."));
  const moved = run.moved.filter((tensor) => !tensor.from_zero).slice(0, 60);
  if (moved.length === 0) return parts;
  parts.push(figure(`How far adaptation moved each tensor, ${of}`, moved.map((tensor) => `${tensor.name} ${digits(tensor.relative)}`).join(", ") + ".", (c) => ({
    type: "bar",
    data: { labels: moved.map((tensor) => tensor.name), datasets: [{ label: "|after − before| / |before|", backgroundColor: seriesColour(c, 0), data: moved.map((tensor) => tensor.relative) }] },
    options: { indexAxis: "y", scales: { x: axis(c, "|after − before| / |before|", { beginAtZero: true }), y: axis(c, "", { title: { display: false }, ticks: { autoSkip: false } }) },
      plugins: { legend: { display: false } } },
  }), table("How far adaptation moved each tensor", [
    { title: "tensor", left: true, of: (tensor) => tensor.name }, { title: "role", left: true, of: (tensor) => tensor.role },
    { title: "relative norm", of: (tensor) => tensor.relative, show: (tensor) => digits(tensor.relative) + (tensor.from_zero ? " (from zero: the norm itself)" : "") },
    { title: `mean of ${run.looks.length} episodes`, of: (tensor) => tensor.mean, show: (tensor) => digits(tensor.mean) },
  ], run.moved), 90 + 20 * moved.length));
  return parts;
}

function sharingSection(run) {
  const names = run.layers.map((layer) => layer.coefficients).filter((name) => name !== null), users = names.length, tensors = new Set(names).size;
  return [note(users > 0 ? `Sharing ${run.sharing}: ${tensors === 1 ? "one coefficient tensor" : tensors + " coefficient tensors"} for ${users} of ${run.layers.length} layers.`
    : `Convolutions are ${run.conv}: each layer has its own weights.`),
    sharingDiagram(run.layers),
    element("details", {}, element("summary", {}, "As a table"), table("Layers and coefficients", [
      { title: "layer", left: true, of: (layer) => layer.name }, { title: "block", of: (layer) => layer.block }, { title: "stage", of: (layer) => layer.stage },
      { title: "channels", left: true, of: (layer) => layer.in, show: (layer) => `${layer.in} → ${layer.out}` }, { title: "kernel", left: true, of: (layer) => layer.kernel, show: (layer) => `${layer.kernel}×${layer.kernel}` },
      { title: "coefficients", left: true, of: (layer) => layer.coefficients ?? "own kernel" },
      { title: "their shape", left: true, of: (layer) => layer.coefficients_shape?.join("×") ?? "–" }, { title: "atoms", left: true, of: (layer) => layer.atoms_shape?.join("×") ?? "–" },
    ], run.layers))];
}

function picture(store, image, classes, kind, predicted) {
  const wrong = kind === "query" && predicted !== image.label, stored = store[image.picture];
  const says = `${kind} picture of ${classes[image.label] ?? letter(image.label)}` + (kind === "query" ? (wrong ? `, taken for ${classes[predicted] ?? letter(predicted)}` : ", right") : "");
  return element("figure", { class: "picture " + (kind === "support" ? "support" : wrong ? "wrong" : "right") },
    stored && stored.src.startsWith("data:image/") ? element("img", { src: stored.src, alt: says, title: says + " (" + stored.name + ")" }) : element("div", { class: "none", role: "img", "aria-label": says }),
    element("figcaption", {}, kind === "support" ? "support" : wrong ? "✗ " + letter(predicted) : "✓"));
}

function episodeCard(group, run, look) {
  const episode = group.looked_at.find((one) => one.episode === look.episode), adapted = run.own_steps > 0 && look.before !== null;
  const pictures = element("div"), of = (images, label) => images.map((image, i) => ({ ...image, i })).filter((image) => image.label === label);
  const show = (predictions) => pictures.replaceChildren(...episode.classes.map((name, label) => element("div", { class: "class" },
    element("h4", {}, letter(label) + "  " + name), element("div", { class: "pictures" },
      of(episode.support, label).map((image) => picture(group.pictures, image, episode.classes, "support")),
      of(episode.query, label).map((image) => picture(group.pictures, image, episode.classes, "query", predictions[image.i]))))));
  const box = adapted ? choices("Predictions", [`after ${run.own_steps} steps (${percent(look.accuracy_after)} %)`, `before (${percent(look.accuracy_before)} %)`],
    (i) => show(i === 0 ? look.after : look.before)) : note(`Accuracy ${percent(look.accuracy_after)} %.`);
  if (adapted) box.pickFirst();
  else show(look.after);
  return [box, pictures, episode.note ? note(episode.note) : null];
}

function featureMaps(run, look) {
  const map = look.map, single = run.own_steps === 0;
  // Both maps have the same axes, so that they can be compared.
  const all = [map.before, map.after].flatMap((part) => [...part.support, ...part.query]);
  const limits = (k) => {
    const values = all.map((point) => point[k]), low = Math.min(...values), high = Math.max(...values), margin = 0.06 * (high - low || 1);
    return { min: low - margin, max: high + margin, ticks: { callback: (value) => digits(value, 2), maxTicksLimit: 7, includeBounds: false } };
  };
  const chart = (title, points, explained) => figure(title, `Support and query images of ${map.classes.length} classes: ${map.classes.map((name, label) => letter(label) + " " + name).join(", ")}.`, (c) => ({
    type: "scatter",
    data: { datasets: map.classes.slice(0, 40).flatMap((name, label) => {
      const of = (list, labels) => list.filter((_, i) => labels[i] === label).map(([x, y]) => ({ x, y })), colour = seriesColour(c, label);
      return [
        { label: letter(label) + " " + (name.length > 24 ? name.slice(0, 23) + "…" : name), borderColor: colour, backgroundColor: colour, pointStyle: seriesPoint(label), pointRadius: 3.5, data: of(points.query, map.query_labels) },
        { label: letter(label) + " support", borderColor: c.ink, backgroundColor: colour, pointStyle: seriesPoint(label), pointRadius: 9, borderWidth: 2, data: of(points.support, map.support_labels) },
      ];
    }) },
    options: { ...options(c, axis(c, "first axis", limits(0)), axis(c, "second axis", limits(1))), plugins: { legend: { position: "bottom",
      labels: { color: c.ink, usePointStyle: true, boxHeight: 7, filter: (item) => !item.text.endsWith(" support") } } } },
  }), table(title, [
    { title: "image", left: true, of: (row) => row.kind }, { title: "class", left: true, of: (row) => letter(row.label) + " " + (map.classes[row.label] ?? "") },
    { title: "first axis", of: (row) => row.x, show: (row) => digits(row.x) }, { title: "second axis", of: (row) => row.y, show: (row) => digits(row.y) },
  ], ["support", "query"].flatMap((kind) => points[kind].map(([x, y], i) => ({ kind, x, y, label: map[kind + "_labels"][i] })))), 380);
  const share = (x) => `${percent(x, 0)} % of the variance is in the plane`;
  return [element("div", { class: "side" }, single ? null : chart("Features before adaptation", map.before), chart(single ? "Features" : "Features after adaptation", map.after)),
    note(`What the head sees, in the plane of the first two principal components of ${single ? "these images" : "both, each minus its own mean"}; large points are support images. `
      + (single ? share(map.explained_after) : `Before: ${share(map.explained_before)}; after: ${share(map.explained_after)}`) + ".")];
}

function confusionSection(run) {
  const confusion = run.confusion, n = confusion.classes.length;
  const head = element("tr", {}, element("th", { class: "left", scope: "col" }, "is \\ taken for"), confusion.classes.map((name, i) => element("th", { scope: "col", title: name }, letter(i))),
    confusion.classes_seen > n ? element("th", { scope: "col" }, "other") : null);
  const rows = confusion.classes.map((name, i) => {
    const total = confusion.query_images[i], inside = confusion.counts[i].reduce((a, b) => a + b, 0);
    const cell = (count, what) => element("td", { style: `--share:${total ? (0.85 * count) / total : 0}`, title: `${name} taken for ${what}: ${count} of ${total}` }, count ? percent(count / total, 0) : "");
    return element("tr", {}, element("th", { class: "left", scope: "row", title: name }, letter(i) + "  " + name), confusion.counts[i].map((count, j) => cell(count, confusion.classes[j])),
      confusion.classes_seen > n ? cell(total - inside, "other classes") : null);
  });
  return [note(`Query images by class and by the class they were taken for, in percent of the class's images, after ${confusion.inner_steps} inner steps. `
    + "Only classes of the same episode can be confused." + (confusion.classes_seen > n ? ` Shown: the ${n} classes with the most mistakes, of ${confusion.classes_seen}.` : "")),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion between classes" }, element("table", { class: "confusion" }, element("thead", {}, head), element("tbody", {}, rows))),
    element("h3", {}, "Most confused"), table("Most confused pairs", [
      { title: "class", left: true, of: (pair) => pair.class }, { title: "taken for", left: true, of: (pair) => pair.taken_for },
      { title: "images", of: (pair) => pair.count, show: (pair) => whole(pair.count) }, { title: "of", of: (pair) => pair.of, show: (pair) => whole(pair.of) },
      { title: "%", of: (pair) => pair.count / pair.of, show: (pair) => percent(pair.count / pair.of) },
    ], confusion.pairs), note("Of: the class's query images in episodes that had both classes.")];
}

function worstSection(run) {
  return [note(`The episodes with the lowest accuracy after ${run.own_steps} inner steps. The command evaluates that episode alone.`), table("Worst episodes", [
    { title: "episode", of: (row) => row.episode }, { title: "accuracy %", of: (row) => row.accuracy, show: (row) => percent(row.accuracy) },
    { title: "loss", of: (row) => row.loss, show: (row) => digits(row.loss) }, { title: "classes", wrap: true, of: (row) => row.classes.join(", ") },
    { title: "command", wrap: true, of: (row) => row.command, show: (row) => element("code", {}, row.command) },
  ], run.worst)];
}

function configuration(data) {
  return [note("Each run's whole configuration: `fewatoms train --config FILE` repeats it."),
    ...data.runs.map((run, i) => element("details", {}, element("summary", {}, `${runName(data, i)}: ${run.run}, ${run.checkpoint} checkpoint, iteration ${whole(run.iteration)}`), element("pre", {}, run.config)))];
}
