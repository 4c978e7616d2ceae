// Puts the page together.

(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const root = document.documentElement, page = document.getElementById("page");
  const contents = document.getElementById("contents");
  document.title = data.title;
  document.getElementById("title").textContent = data.title;

  function section(id, title, ...children) {
    const made = element("section", { id }, element("h2", {}, title), ...children);
    contents.append(element("a", { href: "#" + id }, title));
    return made;
  }

  // Details of one run: what is drawn into changes when another is chosen.
  const parts = ["atoms", "sharing", "episodes", "features", "confusion", "worst"].map((id) => [id, element("div")]);
  const part = Object.fromEntries(parts);
  function showRun(i) {
    const run = data.runs[i], group = data.groups[run.group];
    part.atoms.replaceChildren(...atomsSection(run));
    part.sharing.replaceChildren(...sharingSection(run));
    part.confusion.replaceChildren(...confusionSection(run));
    part.worst.replaceChildren(...worstSection(run));
    if (!run.looks || run.looks.length === 0) {
      part.episodes.replaceChildren(note("No episodes of this run are shown."));
      part.features.replaceChildren(note("No episodes of this run are shown."));
    } else {
      const card = element("div"), worst = run.worst[0].episode;
      const names = run.looks.map((look) => `${look.episode}` + (look.episode === worst ? " (worst)" : ""));
      const box = choices("Episode", names, (k) => {
        card.replaceChildren(...episodeCard(group, run, run.looks[k]));
        part.features.replaceChildren(note(`Episode ${run.looks[k].episode}, as chosen above.`),
          ...featureMaps(run, run.looks[k]));
        drawAll();
      });
      const key = note("Framed: right answers in green with ✓, wrong ones dashed with ✗ ",
        "and the class they were taken for.");
      part.episodes.replaceChildren(key, box, card);
      box.pickFirst();
    }
    drawAll();
  }

  page.append(
    section("summary", "Runs", ...summary(data)),
    section("steps", "Accuracy by inner steps", ...data.groups.map((group) => stepCharts(data, group))),
    section("parameters", "Parameters against accuracy", ...data.groups.map((group) => parameterCharts(data, group))),
    section("training", "Training", ...trainingCharts(data)));
  const chooser = data.runs.length > 1
    ? choices("Run in detail", data.runs.map((run) => runName(data, run)), showRun) : null;
  const titles = {
    atoms: "Atoms", sharing: "Coefficient sharing", episodes: "Episodes", features: "Map of features",
    confusion: "Confusion",
    worst: "Worst episodes",
  };
  const detail = parts.map(([id, div]) => section(id, titles[id], div));
  if (chooser) detail[0].prepend(element("h2", {}, "One run in detail"), chooser);
  page.append(...detail, section("configuration", "Configuration", ...configuration(data)));
  if (data.left_out.length > 0)
    page.append(section("left-out", "Left out", note("To keep the page small it has no:"),
      element("ul", {}, data.left_out.map((what) => element("li", {}, what)))));
  const foot = "Charts: Chart.js, MIT licence (its text is in this page's source). Nothing is loaded from anywhere.";
  document.getElementById("foot").append(note(foot));

  const button = document.getElementById("theme"), prefers = matchMedia("(prefers-color-scheme: dark)");
  function setTheme(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(dark));
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Switch to the light theme" : "Switch to the dark theme");
    drawAll();
  }
  button.addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
  prefers.addEventListener("change", (event) => setTheme(event.matches));
  root.dataset.theme = prefers.matches ? "dark" : "light";
  if (chooser) chooser.pickFirst();
  else showRun(0);
  setTheme(prefers.matches);

  // Paper is white.
  let before = null;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    setTheme(false);
  });
  addEventListener("afterprint", () => setTheme(before === "dark"));
})();
