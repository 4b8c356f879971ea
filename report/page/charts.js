// Draws each panel by Vega-Lite and lets models be switched off in all of them at once.
const MOST_PANELS = 4;
const hiddenModels = new Set();
const views = [];
const tip = make("div", { id: "tip", hidden: true });
document.body.append(tip);

function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns.line.map((_, place) =>
    Object.fromEntries(names.map((column) => [column, columns[column][place]])));
}

function shownRows(chart, columns) {
  const models = new Map(chart.keys.map((key) => [key.label, key.model]));
  return rowsOf(columns).filter((row) => !hiddenModels.has(models.get(row.line)));
}

function showTip(_handler, event, _item, value) {
  tip.hidden = !value;
  if (!value) return;
  const bounds = value.high > value.low ? ` (${number(value.low)} – ${number(value.high)})` : "";
  tip.replaceChildren(make("b", {}, name([value.line, value.style].filter(Boolean).join(", "))));
  for (const text of [
    `${tip.dataset.x}: ${number(value.x)}`, `${tip.dataset.y}: ${number(value.y)}${bounds}`,
    value.n ? `n = ${value.n}` : "", value.note,
  ]) if (text) tip.append(make("div", {}, name(text)));
  const room = document.documentElement.clientWidth - tip.offsetWidth - 12;
  tip.style.left = `${Math.max(8, Math.min(event.pageX + 14, room))}px`;
  tip.style.top = `${event.pageY + 14}px`;
}

async function drawPart(chart, part, host) {
  host.setAttribute("role", "img");
  const where = part.title ? `, ${part.title}` : "";
  host.setAttribute("aria-label", `Chart: ${chart.title}${where}. The table below holds its numbers.`);
  const axes = chart.spec.layer[0].encoding;
  host.addEventListener("pointermove", () => {
    tip.dataset.x = axes.x.axis.title;
    tip.dataset.y = axes.y.axis.title;
  }, { capture: true });
  const datasets = { points: shownRows(chart, part.points), fits: shownRows(chart, part.fits) };
  const options = { ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip: showTip };
  const canvas = make("div", { "aria-hidden": "true" });
  host.append(canvas);
  const { view } = await vegaEmbed(canvas, { ...structuredClone(chart.spec), datasets }, options);
  views.push({ chart, part, view });
}

function stylesOf(chart) {
  const dashes = ["", "6 3", "1.5 2.5"];
  const entries = chart.styles.map((style, place) => {
    const swatch = shape("svg", { width: 26, height: 8, "aria-hidden": "true" });
    swatch.append(shape("line", {
      x1: 0, x2: 26, y1: 4, y2: 4, stroke: "currentColor", "stroke-width": 2,
      "stroke-dasharray": dashes[place % dashes.length],
    }));
    return make("span", {}, swatch, style);
  });
  return make("p", { class: "styles" }, ...entries);
}

async function drawChart(chart, host) {
  if (chart.styles.length > 1) host.before(stylesOf(chart));
  const slots = chart.parts.map((part) => {
    const plot = make("div", { class: "plot" });
    const slot = make("div", { class: "panel" }, plot);
    if (part.title) slot.prepend(make("h4", {}, name(part.title)));
    return { part, plot, slot };
  });
  if (slots.length <= MOST_PANELS) {
    host.append(...slots.map(({ slot }) => slot));
    for (const { part, plot } of slots) await drawPart(chart, part, plot);
    return;
  }
  const select = make("select", { "aria-label": `Panel of ${chart.title}` },
    ...slots.map(({ part }, place) => make("option", { value: place }, part.title)));
  const stage = make("div");
  const show = async () => {
    const { part, plot, slot } = slots[select.value];
    stage.replaceChildren(slot);
    if (!plot.hasChildNodes()) await drawPart(chart, part, plot);
  };
  select.addEventListener("change", show);
  host.append(select, stage);
  await show();
}

function swatchOf(key) {
  const swatch = shape("svg", { width: 28, height: 12, class: "swatch", "aria-hidden": "true" });
  const paths = {
    circle: "M18 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0", square: "M10.5 2.5h7v7h-7z",
    "triangle-up": "M14 1.5l4.5 8h-9z", "triangle-down": "M14 10.5l4.5-8h-9z",
    diamond: "M14 1l5 5l-5 5l-5-5z", cross: "M12 2h4v2.5h2.5v3H16V10h-4V7.500h-2.500v-3H12z",
  };
  swatch.append(
    shape("line", { x1: 0, x2: 28, y1: 6, y2: 6, stroke: key.color, "stroke-width": 2 }),
    shape("path", { d: paths[key.shape] ?? paths.circle, fill: key.color }));
  return swatch;
}

function drawLegend() {
  const keys = new Map(data.charts.flatMap((chart) => chart.keys).map((key) => [key.model, key]));
  for (const key of keys.values()) {
    const button = make("button", { type: "button", "aria-pressed": "true" }, swatchOf(key), name(key.model));
    button.addEventListener("click", () => {
      const shown = hiddenModels.delete(key.model);
      if (!shown) hiddenModels.add(key.model);
      button.setAttribute("aria-pressed", String(shown));
      for (const { chart, part, view } of views) {
        view.data("points", shownRows(chart, part.points));
        if (part.fits.x.length) view.data("fits", shownRows(chart, part.fits));
        view.runAsync();
      }
    });
    document.getElementById("legend").append(button);
  }
}

// Two narrow charts share a row; one left alone takes it whole.
function fillRows() {
  let before = null;
  for (const figure of document.querySelectorAll("#charts .chart:has([data-chart])")) {
    if (data.charts[figure.querySelector("[data-chart]").dataset.chart].parts.length > 1) {
      figure.classList.add("wide");
      before?.classList.add("wide");
      before = null;
    } else before = before ? null : figure;
  }
  before?.classList.add("wide");
}

async function drawCharts() {
  drawLegend();
  fillRows();
  for (const host of document.querySelectorAll("[data-chart]")) {
    await drawChart(data.charts[host.dataset.chart], host);
    await new Promise((resolve) => setTimeout(resolve)); // lets the reader scroll meanwhile
  }
  document.documentElement.dataset.charts = "drawn";
}
