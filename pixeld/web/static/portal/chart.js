// Draws charts from the tables beside them. A figure says which table (data-chart), which columns (data-series), whether rows
// are times or names (data-kind), where rows repeat for several currencies, in which column those are (data-by), and, where days
// without a row are left out, the first and the last day (data-from, data-to).
"use strict";

const COLOURS = { light: ["#2c4bd4", "#0d7f6c", "#b0430c", "#8a2be2"], dark: ["#97adff", "#5fd4bd", "#ffab7a", "#d0a2ff"] };
const MOST_NAMES = 12; // of bars in a chart; the table has the others
const dark = matchMedia("(prefers-color-scheme: dark)");
const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const WHOLE = Array.from({ length: 12 }, (_, n) => [1, 2, 5].map((step) => step * 10 ** n)).flat(); // steps of a scale of counts
const short = new Intl.NumberFormat("en", { notation: "compact" });

// {labels, series: [{name, values}]}: one entry a day or name, oldest first; a series for each column and currency.
function read(figure) {
  const table = document.getElementById(figure.dataset.chart);
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].filter((row) => row.cells[0].dataset.value !== undefined);
  const labels = [...new Set([...everyDay(figure), ...rows.map((row) => row.cells[0].dataset.value)])];
  if (figure.dataset.kind !== "names") labels.sort();
  const found = new Map();
  for (const row of rows) {
    for (const column of figure.dataset.series.split(" ")) {
      const name = figure.dataset.by ? row.cells[figure.dataset.by].dataset.value : heads[column];
      if (!found.has(name)) found.set(name, labels.map(() => 0));
      found.get(name)[labels.indexOf(row.cells[0].dataset.value)] += Number(row.cells[column].dataset.value);
    }
  }
  let series = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, values]) => ({ name, values }));
  if (series.length > 1) series = series.filter(({ values }) => values.some(Boolean)).slice(0, COLOURS.light.length);
  if (figure.dataset.kind !== "names" || labels.length <= MOST_NAMES) return { head: heads[0], labels, series };
  const most = labels.map((_, n) => n).sort((a, b) => series[0].values[b] - series[0].values[a]).slice(0, MOST_NAMES);
  return {
    head: heads[0],
    labels: most.map((n) => labels[n]),
    series: series.map(({ name, values }) => ({ name, values: most.map((n) => values[n]) })),
  };
}

function everyDay(figure) {
  const found = [];
  if (!figure.dataset.from) return found;
  const last = new Date(figure.dataset.to);
  for (const day = new Date(figure.dataset.from); day <= last; day.setUTCDate(day.getUTCDate() + 1)) {
    found.push(day.toISOString().slice(0, 10));
  }
  return found;
}

function draw(figure) {
  const { head, labels, series } = read(figure);
  if (!series.length || !labels.length) return null;
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = [style.getPropertyValue("--soft").trim(), style.getPropertyValue("--line").trim()];
  const colours = COLOURS[dark.matches ? "dark" : "light"];
  const inTime = figure.dataset.kind !== "names";
  const bars = !inTime || labels.length < 3; // a line needs something to lead to
  const label = (n) => (labels[n] === undefined ? "" : inTime && labels[n].length === 10 ? days.format(new Date(labels[n])) : labels[n] || "(none)");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "13px system-ui, sans-serif" };
  const step = Math.ceil(labels.length / Math.max(2, Math.floor(figure.clientWidth / 90)));
  const options = {
    width: figure.clientWidth - 32,
    height: 220,
    cursor: { y: false, points: { size: 7 } },
    legend: { show: true, live: true },
    scales: { x: { time: false, range: bars ? () => [-0.6, labels.length - 0.4] : undefined }, y: { range: (_, low, high) => [0, high * 1.1 || 1] } },
    axes: [
      { ...axis, grid: { show: false }, splits: () => labels.map((_, n) => n).filter((n) => n % step === 0), values: (_, at) => at.map(label) },
      { ...axis, size: 56, incrs: series.every(({ values }) => values.every(Number.isInteger)) ? WHOLE : undefined, values: (_, at) => at.map((value) => short.format(value)) },
    ],
    series: [
      { label: head, value: (_, n) => (n === null ? "" : label(n)) },
      ...series.map(({ name }, n) => ({
        label: name,
        stroke: colours[n],
        width: 2,
        fill: series.length === 1 || bars ? `${colours[n]}26` : undefined,
        paths: !bars ? undefined : uPlot.paths.bars({ size: [series.length === 1 ? 0.6 : 0.3, 48], align: series.length === 1 ? 0 : n % 2 ? -1 : 1 }),
        points: { show: bars ? false : undefined },
        value: (_, value) => (value === null || value === undefined ? "" : numbers.format(value)),
      })),
    ],
  };
  return new uPlot(options, [labels.map((_, n) => n), ...series.map(({ values }) => values)], figure);
}

for (const figure of document.querySelectorAll("[data-chart]")) {
  figure.hidden = false;
  let width = 0;
  let plot = null;
  const again = () => {
    if (plot) plot.destroy();
    plot = draw(figure);
    figure.hidden = !plot;
  };
  // the table says the same to those who cannot see the picture
  figure.setAttribute("aria-hidden", "true");
  new ResizeObserver(() => {
    if (figure.clientWidth && figure.clientWidth !== width) {
      width = figure.clientWidth;
      again();
    }
  }).observe(figure);
  dark.addEventListener("change", again);
}
