// What the page says of all runs together.

const runName = (data, run) => (data.runs.filter((other) => other.name === run.name).length > 1 ? run.run : run.name);
const groupName = (group) =>
  `${group.dataset} ${group.split}, ${range(group.fewest_ways, group.ways)}-way `
    + `${range(group.fewest_shots, group.shots)}-shot`;
const ofGroup = (data, group) => (data.groups.length > 1 ? ", " + groupName(group) : "");
const runsOf = (data, group) => group.runs.map((i) => data.runs[i]);
const atOwnSteps = (run) => run.by_steps.find((step) => step.inner_steps === run.own_steps);
const accuracyText = (run) => interval(run.accuracy, run.ci95);

// What a run looks like in every chart.
function runStyle(data, run, c) {
  const i = data.runs.indexOf(run), colour = seriesColour(c, i);
  return { label: runName(data, run), borderColor: colour, backgroundColor: colour, pointStyle: seriesPoint(i) };
}

function summary(data) {
  const name = text("run", (run) => runName(data, run));
  const results = [
    name,
    number("accuracy %", (run) => run.accuracy, (_, run) => accuracyText(run)),
    number("inner steps", (run) => run.own_steps),
    number("loss", (run) => run.loss, digits),
    number("ms per task", (run) => atOwnSteps(run).milliseconds, digits),
    number("conv weights", (run) => run.conv_weights),
    number("adapted", (run) => run.parameters_adapted),
  ];
  const settings = [
    name,
    text("method", (run) => run.method),
    text("network", (run) => `${run.backbone}-${run.width}`),
    text("convolution", (run) => run.conv + (run.sharing ? ` (${run.sharing}, M = ${run.atoms})` : "")),
    text("scope", (run) => run.scope),
    text("norm", (run) => run.norm + (run.transductive ? " (transductive)" : "")),
    text("trained on", (run) => run.trained_on),
    number("iterations", (run) => run.iteration),
    number("training s", (run) => run.training.seconds, (s) => whole(Math.round(s))),
    number("seed", (run) => run.seed),
  ];
  const machine = data.machine;
  return [
    ...data.groups.map((group) => element("div", {},
      element("h3", {}, groupName(group)),
      element("p", {}, conditions(group)),
      group.notices.map((notice) => note("Note: " + notice)),
      table("Results on " + groupName(group), results, runsOf(data, group)),
      pairedDifferences(data, group))),
    element("h3", {}, "What the runs are"),
    table("What the runs are", settings, data.runs),
    note("Intervals are 95 % over episodes; times are medians of single tasks on one thread, from decoded support ",
      `images to adapted parameters. Made by fewatoms ${data.program} with LibTorch ${machine.libtorch} `,
      `on ${machine.processor}, ${machine.cores} hardware threads.`),
  ];
}

function conditions(group) {
  const parts = [`${whole(group.episodes)} episodes of ${whole(group.classes)} classes`,
    `${range(group.fewest_queries, group.queries)} query images per class`,
    `evaluation seed ${group.eval_seed}`];
  if (group.first_episode > 0) parts.push(`from episode ${group.first_episode} on`);
  if (group.split_rule) parts.push(`split rule ${group.split_rule}`);
  if (group.crop && group.crop !== "none") parts.push(`cropped to ${group.crop}`);
  if (group.imbalanced) parts.push("shots drawn for each class");
  if (group.within_group) parts.push("classes of one group");
  return parts.join(", ") + (group.runs.length > 1 ? "; the same episodes for all runs." : ".");
}

function pairedDifferences(data, group) {
  if (group.paired.length === 0) return null;
  const title = "Differences, paired by episode";
  return element("div", {}, element("h3", {}, title), table(title, [
    text("run", (pair) => runName(data, data.runs[pair.run])),
    text("minus", (pair) => runName(data, data.runs[pair.minus])),
    number("points", (pair) => pair.difference, (d, pair) => interval(d, pair.ci95)),
    text("interval excludes 0",
      (pair) => (pair.ci95 === null ? "–" : Math.abs(pair.difference) > pair.ci95 ? "yes" : "no")),
  ], group.paired));
}

function stepCharts(data, group) {
  const runs = runsOf(data, group), rows = runs.flatMap((run) => run.by_steps.map((step) => ({ run, ...step })));
  const marks = [...new Set(rows.map((row) => row.inner_steps))].sort((a, b) => a - b);
  const numbers = (title) => table(title, [
    text("run", (row) => runName(data, row.run)),
    number("inner steps", (row) => row.inner_steps),
    number("accuracy %", (row) => row.accuracy, (x, row) => interval(x, row.ci95)),
    number("loss", (row) => row.loss, (x) => digits(x, 4)),
    number("ms to here", (row) => row.milliseconds, digits),
  ], rows);
  // The numbers of steps stand side by side, and runs a little aside from each other: intervals can be told apart.
  const place = (run, step) =>
    marks.indexOf(step) + (runs.indexOf(run) - (runs.length - 1) / 2) * Math.min(0.08, 0.4 / runs.length);
  const says = (run, format) => run.by_steps.map((step) => `${format(step)} after ${step.inner_steps}`).join(", ");
  const chart = (key, title, format, yAxis) => figure(title,
    runs.map((run) => `${runName(data, run)}: ${says(run, format)}`).join("; ") + ".",
    (c) => ({
      type: "line",
      data: { datasets: runs.map((run) => ({
        ...runStyle(data, run, c), pointRadius: 4, borderWidth: 2,
        data: run.by_steps.map((step) => (
          { x: place(run, step.inner_steps), y: step[key], half: key === "accuracy" ? step.ci95 : null, step })),
      })) },
      options: options(c,
        axis(c, "inner steps", { min: -0.4, max: marks.length - 0.6,
          afterBuildTicks: (scale) => { scale.ticks = marks.map((_, value) => ({ value })); },
          ticks: { autoSkip: false, callback: (value) => marks[value] ?? "" } }),
        axis(c, key, yAxis),
        { title: () => "",
          label: (item) => `${item.dataset.label}, ${item.raw.step.inner_steps} steps: ${format(item.raw.step)}` }),
      plugins: [whiskers],
    }), numbers(title));
  return element("div", { class: "side" },
    chart("accuracy", "Accuracy by inner steps" + ofGroup(data, group),
      (step) => interval(step.accuracy, step.ci95) + " %",
      { ...roomForIntervals(rows), ...percentTicks }),
    chart("loss", "Loss by inner steps" + ofGroup(data, group), (step) => digits(step.loss), {}));
}

function parameterCharts(data, group) {
  const runs = runsOf(data, group);
  const chart = (title, of, xAxis, place) => figure(title + ofGroup(data, group),
    runs.map((run) => `${runName(data, run)}: ${whole(of(run))} numbers, ${accuracyText(run)} %`).join("; ") + ".",
    (c) => ({
      type: "scatter",
      data: { datasets: runs.map((run) => ({
        ...runStyle(data, run, c), pointRadius: 6, data: [{ x: place(of(run)), y: run.accuracy, half: run.ci95, run }],
      })) },
      options: options(c, axis(c, "numbers", xAxis),
        axis(c, "accuracy", { ...roomForIntervals(runs), ...percentTicks }),
        { label: ({ dataset, raw }) => `${dataset.label}: ${whole(of(raw.run))} numbers, ${accuracyText(raw.run)} %` }),
      plugins: [whiskers],
    }), table(title, [
      text("run", (run) => runName(data, run)),
      number("numbers", of),
      number("all parameters", (run) => run.parameters_total),
      number("accuracy %", (run) => run.accuracy, (_, run) => accuracyText(run)),
    ], runs));
  const squeezed = { min: -0.2, suggestedMax: 3,  // log10(1 + n): by powers of ten, and 0 has a place
    ticks: { stepSize: 1, includeBounds: false,
      callback: (value) => (value < 0 || value % 1 ? "" : value === 0 ? "0" : whole(10 ** value)) } };
  return element("div", { class: "side" },
    chart("Convolution weights against accuracy", (run) => run.conv_weights,
      { beginAtZero: true, ticks: { callback: whole } }, (n) => n),
    chart("Numbers a task changes against accuracy", (run) => run.parameters_adapted, squeezed,
      (n) => Math.log10(1 + n)));
}

function trainingCharts(data) {
  const runs = data.runs.filter((run) => run.training.curve.length > 0 || run.training.validations.length > 0);
  if (runs.length === 0) return [note("None of the runs has a training curve (metrics.jsonl).")];
  const chart = (key, title, format, yAxis) => figure(title,
    runs.map((run) => {
      const last = run.training.curve.at(-1);
      return runName(data, run) + (last ? " ends at " + format(last[key]) : "");
    }).join("; ") + ".",
    (c) => ({
      type: "line",
      data: { datasets: runs.flatMap((run) => {
        const style = runStyle(data, run, c);
        const curve = run.training.curve.map((point) => ({ x: point.iteration, y: point[key] }));
        const validations = run.training.validations.filter((point) => isNumber(point[key]))
          .map((point) => ({ x: point.iteration, y: point[key], half: key === "accuracy" ? point.ci95 : null }));
        return [
          { ...style, pointRadius: 0, borderWidth: 1.5, data: curve },
          { ...style, label: style.label + ", validation", showLine: false, pointRadius: 4, data: validations },
        ].filter((dataset) => dataset.data.length > 0);
      }) },
      options: options(c, axis(c, "iteration"), axis(c, key, yAxis)),
      plugins: [whiskers],
    }), table(title, [
      text("run", (row) => row.name),
      number("iteration", (row) => row.iteration),
      number(key, (row) => row[key], format),
      text("of", (row) => row.kind),
    ], runs.flatMap((run) => ["curve", "validations"].flatMap((kind) =>
      run.training[kind].map((point) =>
        ({ ...point, name: runName(data, run), kind: kind === "curve" ? "training" : "validation" }))))));
  // A start far above the rest would press the rest together.
  const losses = runs.flatMap((run) => run.training.curve.map((point) => point.loss)).filter(isNumber);
  losses.sort((a, b) => a - b);
  const usual = 1.3 * losses[Math.floor(0.95 * losses.length)], cut = losses.at(-1) > usual;
  const most = Math.max(...runs.map((run) => run.training.iterations_per_point));
  return [
    element("div", { class: "side" },
      chart("loss", "Loss of training episodes" + (cut ? ", without what is above " + digits(usual) : ""),
        (x) => digits(x, 4),
        cut ? { max: usual, ticks: { includeBounds: false } } : {}),
      chart("accuracy", "Accuracy of training episodes", (x) => percent(x) + " %", percentTicks)),
    note("Query images of training episodes after adaptation"
      + (most > 1 ? `, means over up to ${most} iterations` : "")
      + "; single points are validations."),
  ];
}

function configuration(data) {
  return [
    note("Each run's whole configuration; ", element("code", {}, "fewatoms train --config FILE"), " repeats it."),
    ...data.runs.map((run) => element("details", {},
      element("summary", {},
        `${runName(data, run)}: ${run.run}, ${run.checkpoint} checkpoint, iteration ${whole(run.iteration)}`),
      element("pre", {}, run.config))),
  ];
}
