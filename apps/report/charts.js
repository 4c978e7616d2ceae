// Charts by Chart.js: a figure with a title, a canvas, a text alternative and the numbers as a table.

Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.font.family = "system-ui, sans-serif";

const drawn = new Map(); // canvas -> function that makes its configuration from the theme's colours

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--ink"), faint: of("--faint"), line: of("--line"), paper: of("--paper"),
    series: of("--series").split(" ") };
}
const pointStyles = ["circle", "triangle", "rect", "rectRot", "rectRounded"];
const seriesColour = (c, i) => c.series[i % c.series.length];
const seriesPoint = (i) => pointStyles[i % pointStyles.length];

// Draws {x, y, half} points' intervals y - half .. y + half as whiskers.
const whiskers = {
  id: "whiskers",
  afterDatasetsDraw(chart) {
    const { ctx, scales, chartArea } = chart;
    ctx.save();
    ctx.beginPath();
    ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
    ctx.clip();
    chart.data.datasets.forEach((dataset, i) => {
      if (!chart.isDatasetVisible(i)) return;
      ctx.strokeStyle = dataset.borderColor;
      ctx.lineWidth = 1.5;
      for (const point of dataset.data) {
        if (!isNumber(point.half) || point.half === 0) continue;
        const x = scales.x.getPixelForValue(point.x);
        const low = scales.y.getPixelForValue(point.y - point.half);
        const high = scales.y.getPixelForValue(point.y + point.half);
        ctx.beginPath();
        ctx.moveTo(x, low); ctx.lineTo(x, high);
        ctx.moveTo(x - 4, low); ctx.lineTo(x + 4, low);
        ctx.moveTo(x - 4, high); ctx.lineTo(x + 4, high);
        ctx.stroke();
      }
    });
    ctx.restore();
  },
};

function draw(canvas) {
  Chart.getChart(canvas)?.destroy();
  new Chart(canvas, drawn.get(canvas)(colours()));
}

// Draws all charts that are on the page in the colours of the theme, and forgets those that no longer are.
function drawAll() {
  for (const canvas of [...drawn.keys()]) {
    if (canvas.isConnected) draw(canvas);
    else {
      Chart.getChart(canvas)?.destroy();
      drawn.delete(canvas);
    }
  }
}

// `make(colours)` gives Chart.js's configuration; `says` tells what the chart shows to those who do not see it.
function figure(title, says, make, numbers, height = null) {
  const canvas = element("canvas", { role: "img", "aria-label": title + ". " + says });
  drawn.set(canvas, make);
  return element("figure", {},
    element("figcaption", {}, title),
    element("div", { class: "canvas", style: height ? `height:${height}px` : null }, canvas),
    element("details", {}, element("summary", {}, "As a table"), numbers));
}

function axis(c, title, more = {}) {
  const ticks = { color: c.faint, ...more.ticks };
  return { title: { display: true, text: title, color: c.faint }, grid: { color: c.line }, ...more, ticks };
}

function legend(c, more = {}) {
  return { position: "bottom", labels: { color: c.ink, usePointStyle: true, boxHeight: 7, ...more } };
}

// `tooltip` are functions that give the words of a point.
function options(c, x, y, tooltip = {}) {
  return {
    scales: { x: { type: "linear", ...x }, y },
    plugins: { legend: legend(c), tooltip: { callbacks: tooltip } },
    interaction: { mode: "nearest", intersect: false },
  };
}

// Limits of an axis that leave room for the intervals of accuracies: of runs or of their steps.
function roomForIntervals(results) {
  const low = Math.min(...results.map((result) => result.accuracy - result.ci95));
  const high = Math.max(...results.map((result) => result.accuracy + result.ci95));
  const margin = 0.1 * (high - low || 0.1);
  return { suggestedMin: Math.max(0, low - margin), suggestedMax: high + margin };
}

const percentTicks = { ticks: { callback: (value) => Math.round(value * 1000) / 10 + " %" } };
