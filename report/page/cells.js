// The table of all cells: sorted and searched over all, drawn a page at a time, records on demand.
const PAGE = 100;
const { columns, records, shapes, texts } = data.cells;
const count = columns.L.length;
const several = data.cells.runs.length > 1;
const TEXT = new Set(["model", "workload", "dataset", "batch", "place", "seed", "status"]);
const COLUMNS = [
  ...(several ? [["run", "Run"]] : []), ["model", "Model"], ["workload", "Workload"], ["dataset", "Data"], ["L", "L"],
  ["batch", "Batch"], ["place", "On"], ["seed", "Seed"], ["status", "Status"], ["time", "Time"], ["tail", "p99"],
  ["peak", "Peak"], ["score", "NDCG@10"],
];
const WRITE = { time: seconds, tail: seconds, peak: bytes, score: (value) => value.toFixed(4), L: String };
const order = { key: "", descending: false, places: columns.L.map((_, place) => place), shown: PAGE };

function textOf(key, place) {
  if (key === "run") return data.cells.runs[columns.run[place]];
  if (TEXT.has(key)) return texts[columns[key][place]];
  const value = columns[key][place];
  return value === null ? "" : WRITE[key](value);
}

function compareCells(key, descending) {
  const sign = descending ? -1 : 1;
  const values = columns[key];
  if (key === "run" || TEXT.has(key)) {
    const collator = new Intl.Collator("en", { numeric: true });
    return (a, b) => sign * collator.compare(textOf(key, a), textOf(key, b)) || a - b;
  }
  return (a, b) => { // what was not measured comes last, whichever way
    if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
    return sign * (values[a] - values[b]) || a - b;
  };
}

function rowOfCell(place) {
  const row = make("tr");
  for (const [key] of COLUMNS) {
    const text = textOf(key, place);
    if (key === "model") {
      const button = make("button", { type: "button", class: "open", "aria-expanded": "false" }, name(text));
      button.addEventListener("click", () => toggleRecord(row, button, place));
      row.append(make("th", { scope: "row" }, button));
    } else {
      const kind = key in WRITE ? "number" : key === "status" && text !== "ok" ? "bad" : undefined;
      row.append(make("td", { class: kind }, name(text)));
    }
  }
  return row;
}

function toggleRecord(row, button, place) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) row.nextElementSibling.remove();
  else {
    const record = make("tr", { class: "record" }, make("td", { colspan: COLUMNS.length }, ...recordOf(place)));
    row.after(record);
    record.querySelectorAll(".scroll").forEach(watchFrame);
  }
}

function metricsOf(place) {
  const values = records.values[place];
  let at = 0;
  return shapes[records.shape[place]].map(([title, unit, better, method, bounded, counted, fenced]) => {
    const value = values[at++];
    const bounds = bounded ? [values[at++], values[at++]] : null;
    const n = counted ? values[at++] : null;
    const [mild, severe] = fenced ? [values[at++], values[at++]] : [0, 0];
    const missing = Array.isArray(value);
    return { title: texts[title], unit: texts[unit], better: texts[better], n, bounds, outliers: outliersOf(mild, severe),
      value: missing ? null : value, method: missing ? `not measured: ${texts[value[0]]}` : texts[method] };
  });
}

function outliersOf(mild, severe) {
  return [[mild, "mild"], [severe, "severe"]].filter(([many]) => many).map(([many, kind]) => `${many.toLocaleString("en")} ${kind}`).join(", ");
}

function amount(value, unit) {
  if (value === null) return "–";
  if (unit === "s") return seconds(value);
  if (unit === "B") return `${value.toLocaleString("en")} B`;
  return `${Number.isInteger(value) ? value.toLocaleString("en") : number(value)}${unit === "1" ? "" : ` ${unit}`}`;
}

function quoted(text) { // for a shell
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

function recordOf(place) {
  const id = records.id[place];
  const fact = (title, text) => make("div", {}, make("dt", {}, title), make("dd", {}, name(text)));
  const facts = Object.entries(JSON.parse(texts[records.facts[place]]));
  const reason = texts[records.reason[place]];
  const flags = texts[records.flags[place]];
  const rows = metricsOf(place).map((metric) => make("tr", {},
    make("th", { scope: "row" }, name(metric.title)),
    make("td", { class: "number" }, amount(metric.value, metric.unit)),
    make("td", { class: "number" }, metric.bounds ? metric.bounds.map((bound) => amount(bound, metric.unit)).join(" – ") : ""),
    make("td", { class: "number" }, metric.n === null ? "" : String(metric.n)),
    make("td", { class: "number" }, metric.outliers),
    make("td", {}, metric.better === "none" ? "a fact" : `${metric.better} is better`),
    make("td", {}, name(metric.method))));
  const head = ["Metric", "Value", "Bounds", "n", "Outliers", "Direction", "Method"];
  const again = `${data.cells.commands[columns.run[place]]} -k ${quoted(id)}`;
  return [
    make("p", {}, make("strong", {}, name(id))),
    ...(reason ? [make("p", { class: "bad" }, name(`${textOf("status", place)}: ${reason}`))] : []),
    make("dl", { class: "facts" }, fact("started", records.started[place]), fact("took", seconds(records.wall[place])),
      ...(flags ? [fact("flags", flags)] : []), ...facts.map(([title, text]) => fact(title, text))),
    ...(rows.length ? [make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Metrics of ${id}` },
      make("table", {}, make("caption", {}, `Metrics of ${id}`),
        make("thead", {}, make("tr", {}, ...head.map((text, at) => make("th", { scope: "col", class: at > 0 && at < 5 ? "number" : undefined }, text)))),
        make("tbody", {}, ...rows)))] : []),
    make("p", { class: "small" }, "Measured again by"), make("pre", { tabindex: "0" }, make("code", {}, again)),
  ];
}

function drawCells() {
  const body = document.querySelector("#cells-table tbody");
  body.replaceChildren(...order.places.slice(0, order.shown).map(rowOfCell));
  const shown = Math.min(order.shown, order.places.length);
  document.getElementById("count").textContent = `${shown.toLocaleString("en")} of ${order.places.length.toLocaleString("en")} cells`;
  document.getElementById("more").hidden = shown === order.places.length;
}

function arrangeCells() {
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const exact = ["workload", "status"].map((key) => [key, document.getElementById(key).value]).filter(([, value]) => value);
  order.places = columns.L.map((_, place) => place).filter((place) =>
    exact.every(([key, value]) => textOf(key, place) === value) &&
    (!words.length || words.every((word) => searchText(place).includes(word))));
  if (order.key) order.places.sort(compareCells(order.key, order.descending));
  order.shown = PAGE;
  drawCells();
}

function searchText(place) {
  return `${records.id[place]} ${[...TEXT].map((key) => textOf(key, place)).join(" ")} L=${columns.L[place]}`.toLowerCase();
}

function sortBy(key) {
  order.descending = order.key === key && !order.descending;
  order.key = key;
  document.querySelectorAll("#cells-table thead th").forEach((head) => {
    if (head.dataset.key === key) head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  arrangeCells();
}

function startCells() {
  const head = document.querySelector("#cells-table thead tr");
  for (const [key, title] of COLUMNS) {
    const button = make("button", { type: "button", class: "sort" }, title);
    button.addEventListener("click", () => sortBy(key));
    head.append(make("th", { scope: "col", "data-key": key, class: key in WRITE ? "number" : undefined }, button));
  }
  for (const key of ["workload", "status"]) {
    const select = document.getElementById(key);
    const values = [...new Set(columns[key])].map((place) => texts[place]).sort();
    select.append(...values.map((text) => make("option", { value: text }, text)));
    select.addEventListener("change", arrangeCells);
  }
  document.getElementById("find").addEventListener("input", arrangeCells);
  document.getElementById("more").addEventListener("click", () => {
    order.shown += PAGE;
    drawCells();
  });
  document.getElementById("cells-live").hidden = false;
  drawCells();
}

startChooser();
startCells();
performance.mark("ready");
drawCharts();
