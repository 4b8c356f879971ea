// Answers from measured records: a measured length as it is, one between by the fit, else "not known".
// Uncertain numbers are drawn again 2,000 times; who is best in 95% of the draws is called the best.
const NEAR = 2; // a catalogue or an accuracy this many times off still stands for what was asked
const DRAWS = 2000;
const SURE = 0.95;
const form = document.getElementById("wishes");
const field = (key) => form.elements[key];

// --- one number of one model -------------------------------------------------------------------

function lengthsOf(at) {
  if (at.length > 4) return `L = ${at[0]} to ${at.at(-1)}, ${at.length} lengths`;
  return `L = ${at.join(", ")}`;
}

function between(columns, length, key) {
  const right = Math.max(1, columns.at.findIndex((at) => at >= length));
  const [x0, x1] = [Math.log(columns.at[right - 1]), Math.log(columns.at[right])];
  const part = (Math.log(length) - x0) / (x1 - x0);
  const [y0, y1] = [columns[key][right - 1], columns[key][right]].map((y) => Math.log(Math.max(y, 1e-300)));
  return Math.exp(y0 + part * (y1 - y0));
}

// {value, low, high, how} or {unknown: why} or {out: why}, where memory was not enough.
function valueAt(curve, length) {
  if (!curve) return { unknown: "not measured" };
  const place = curve.at.indexOf(length);
  const stop = curve.gaps.find(([at, status]) => status.endsWith("oom") && at <= length);
  if (stop && place < 0) return { out: `out of memory at L = ${stop[0]}` };
  if (place >= 0) {
    const [value, low, high] = [curve.value[place], curve.low[place], curve.high[place]];
    return { value, low, high, how: "measured" };
  }
  const gap = curve.gaps.find(([at]) => at === length);
  if (gap) return { unknown: `${gap[1]}: ${gap[2]}` };
  if (!curve.at.length) return { unknown: curve.gaps.length ? `${curve.gaps[0][1]}: ${curve.gaps[0][2]}` : "not measured" };
  if (length < curve.at[0] || length > curve.at.at(-1)) return { unknown: `measured at ${lengthsOf(curve.at)} only` };
  if (!curve.fit) return { unknown: `measured at ${lengthsOf(curve.at)}; between them no fit (${curve.refused})` };
  if (length < curve.fit.at[0] || length > curve.fit.at.at(-1)) return { unknown: "outside of the fit" };
  const [value, low, high] = ["value", "low", "high"].map((key) => between(curve.fit, length, key));
  return { value, low, high, how: "by the fit" };
}

function accuracyAt(accuracy, length) {
  if (!accuracy.at.length) return { unknown: "no accuracy was measured" };
  const off = (at) => Math.abs(Math.log(at / length));
  const place = accuracy.at.reduce((best, at, here) => (off(at) < off(accuracy.at[best]) ? here : best), 0);
  const at = accuracy.at[place];
  if (off(at) > Math.log(NEAR) + 1e-9) return { unknown: `accuracy measured at ${lengthsOf(accuracy.at)} only` };
  return { value: accuracy.value[place], sd: accuracy.sd[place], n: accuracy.n[place], at };
}

// --- what was asked ----------------------------------------------------------------------------

function asked() {
  const amount = (key) => {
    const value = Number.parseFloat(field(key).value);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  return {
    length: amount("history"), items: amount("items"), weight: Number(field("weight").value) / 100,
    memory: amount("memory") === null ? null : amount("memory") * 2 ** 20,
    latency: amount("latency") === null ? null : amount("latency") / 1000,
    setting: data.chooser.settings[field("setting").value],
  };
}

function nearestDataset(setting, items) {
  const known = setting.datasets.filter((dataset) => dataset.items);
  if (items === null || !known.length) return { dataset: setting.datasets[0] };
  const off = (dataset) => Math.abs(Math.log(dataset.items / items));
  const dataset = known.reduce((best, here) => (off(here) < off(best) ? here : best));
  return off(dataset) > Math.log(NEAR) + 1e-9 ? { far: known } : { dataset };
}

// --- the judgement -----------------------------------------------------------------------------

function judge(model, wish) {
  const found = {
    label: model.label, accuracy: accuracyAt(model.accuracy, wish.length), source: model.accuracy,
    epoch: valueAt(model.epoch, wish.length), memory: valueAt(model.memory, wish.length),
    latency: valueAt(model.latency, wish.length), tail: valueAt(model.tail, wish.length),
    step: valueAt(model.step, wish.length), no: [], open: [],
  };
  for (const part of [found.epoch, found.latency]) if (part.out && !found.no.includes(part.out)) found.no.push(part.out);
  for (const [limit, part, words, write] of [
    [wish.memory, found.memory, "memory", bytes], [wish.latency, found.tail, "p95", seconds]]) {
    if (limit === null || found.no.includes(part.out)) continue;
    if (part.out) found.no.push(part.out);
    else if (part.unknown) found.open.push(`${words} not known: ${part.unknown}`);
    else if (part.low > limit) found.no.push(`${words} ${write(part.value)} is over ${write(limit)}`);
    else if (part.high > limit) found.open.push(`${words} ${write(part.low)} to ${write(part.high)} is too near ${write(limit)}`);
  }
  return found;
}

function randomNormal(seed) {
  let state = seed >>> 0;
  const next = () => { // mulberry32, so that the same question has the same answer
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

function spreadOf(part) { // of the logarithm; bounds are taken as those of 95%
  return part.high > part.low && part.low > 0 ? Math.log(part.high / part.low) / 3.92 : 0;
}

// How often each is best: weight of accuracy against the geometric mean of the costs.
function shares(models, weight, costs) {
  const normal = randomNormal(7);
  const wins = models.map(() => 0);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    let best = 0;
    let top = -Infinity;
    models.forEach((model, place) => {
      let score = 0;
      if (weight > 0) {
        const { value, sd, n } = model.accuracy;
        score += weight * Math.log(Math.max(value + (sd ? (sd / Math.sqrt(n)) * normal() : 0), 1e-9));
      }
      for (const cost of weight < 1 ? costs : []) {
        const part = model[cost];
        score -= ((1 - weight) / costs.length) * (Math.log(part.value) + spreadOf(part) * normal());
      }
      if (score > top) [best, top] = [place, score];
    });
    wins[best] += 1;
  }
  return wins.map((count) => count / DRAWS);
}

// {kind: "best" | "tie" | "none" | "unknown", title, lines, models}
function answer() {
  const wish = asked();
  if (!wish.setting) return { kind: "unknown", title: "Nothing was measured to choose from.", lines: [], models: [] };
  if (wish.length === null) return { kind: "unknown", title: "Give a history length.", lines: [], models: [] };
  const { dataset, far } = nearestDataset(wish.setting, wish.items);
  if (far) {
    const measured = far.map((one) => `${one.label} ${one.items.toLocaleString("en")}`).join("; ");
    return { kind: "unknown", models: [],
      title: `Not known for a catalogue of ${wish.items.toLocaleString("en")} items.`,
      lines: [`The nearest that was measured is more than ${NEAR} times larger or smaller (${measured}), and the cost of ranking and of the softmax grows with the catalogue.`] };
  }
  const models = dataset.models.map((model) => judge(model, wish));
  const lines = [];
  if (dataset.items && wish.items && dataset.items !== wish.items) lines.push(`Measured on ${dataset.label}, with ${dataset.items.toLocaleString("en")} items.`);
  const fit = models.filter((model) => !model.no.length && !model.open.length);
  const costs = ["latency", "epoch"].filter((key) => fit.some((model) => model[key].value > 0));
  const rated = fit.filter((model) =>
    (wish.weight === 0 || model.accuracy.value > 0) &&
    (wish.weight === 1 || (costs.length && costs.every((key) => model[key].value > 0))));
  for (const model of fit) {
    if (rated.includes(model)) continue;
    const parts = [wish.weight > 0 ? model.accuracy : {}, ...(wish.weight < 1 ? [model.latency, model.epoch] : [])];
    model.open.push(...new Set(parts.map((part) => part.unknown).filter(Boolean)));
  }
  if (!rated.length) return nothing(models, wish, lines);
  return ranked(rated, models, wish, costs, lines);
}

function nothing(models, wish, lines) {
  const unknown = models.filter((model) => model.open.length);
  if (!unknown.length && models.length) return { kind: "none", title: "Nothing that was measured fits.", lines, models };
  const withoutAccuracy = models.filter((model) => !model.no.length && model.latency.value > 0 && model.epoch.value > 0);
  if (wish.weight > 0 && withoutAccuracy.length && withoutAccuracy.every((model) => model.accuracy.unknown)) {
    lines.push("The cost is known, the accuracy is not: set the weight of accuracy to 0% to choose by cost alone.");
  }
  return { kind: "unknown", title: `Not known at L = ${wish.length}.`, lines, models };
}

function ranked(rated, models, wish, costs, lines) {
  const won = shares(rated, wish.weight, costs);
  const order = rated.map((_, place) => place).sort((a, b) => won[b] - won[a]);
  const best = rated[order[0]];
  rated.forEach((model, place) => { model.share = won[place]; });
  const percent = (share) => (share > 0.995 ? "over 99%" : `${Math.round(100 * share)}%`);
  const words = { latency: "latency", epoch: "training time" };
  const by = [wish.weight > 0 ? `accuracy (${Math.round(100 * wish.weight)}%)` : "",
    wish.weight < 1 ? `${costs.map((cost) => words[cost]).join(" and ")} (${Math.round(100 * (1 - wish.weight))}%)` : ""].filter(Boolean);
  lines.unshift(`By ${by.join(" and ")}: the best in ${percent(won[order[0]])} of ${DRAWS.toLocaleString("en")} draws within the measured uncertainty` +
    (rated.length > 1 ? `, ${rated[order[1]].label} in ${percent(won[order[1]])}.` : "; no other model is known to fit."));
  if (wish.weight > 0) {
    const at = [...new Set(rated.map((model) => model.accuracy.at))].filter((one) => one !== wish.length);
    if (at.length) lines.push(`Accuracy is that of L = ${at.join(", ")}, the nearest measured length.`);
    if (rated.some((model) => model.accuracy.n < 2)) lines.push("Some accuracies are of one seed: their spread is not known, and a difference may be chance.");
    const sources = [...new Set(rated.map((model) => model.source.source).filter(Boolean))];
    if (sources.length) lines.push(`Accuracy comes from run ${sources.join(", ")}, on the same sequences.`);
    if (rated.some((model) => model.source.stopped)) lines.push("Some accuracies are of fits that were stopped by their limit of epochs.");
  }
  const open = models.filter((model) => model.open.length);
  if (open.length) lines.push(`Not judged: ${open.map((model) => `${model.label} (${model.open[0]})`).join("; ")}.`);
  const sure = won[order[0]] >= SURE || rated.length === 1;
  const others = order.slice(1).filter((place) => won[place] > 1 - SURE).map((place) => rated[place].label);
  return { kind: sure ? "best" : "tie", best: best.label, models, lines,
    title: sure ? best.label : `${best.label}, but not clearly: ${others.join(", ") || "others"} may be as good` };
}

// --- showing it --------------------------------------------------------------------------------

function cellOf(part, write) {
  if (part.value === undefined) return make("td", { class: "number", title: part.out ?? part.unknown }, part.out ? "out of memory" : "not known");
  const range = part.high > part.low ? `${write(part.low)} to ${write(part.high)}` : part.how;
  return make("td", { class: "number", title: `${part.how}; ${range}` }, write(part.value), part.how === "by the fit" ? " (fit)" : "");
}

function rowOf(model, best) {
  const { accuracy } = model;
  const spread = accuracy.sd === null || accuracy.sd === undefined ? "" : ` ± ${accuracy.sd.toFixed(4)}`;
  const verdict = model.no[0] ?? model.open[0] ?? (model.share === undefined ? "fits" : `best in ${Math.round(100 * model.share)}%`);
  const state = model.no.length ? "no" : model.open.length ? "open" : "fits";
  return make("tr", { "data-state": state, class: model.label === best ? "best" : undefined },
    make("th", { scope: "row" }, name(model.label)),
    make("td", {}, name(verdict)),
    make("td", { class: "number" }, accuracy.value ? accuracy.value.toFixed(4) + spread : "not known"),
    cellOf(model.latency, seconds), cellOf(model.tail, seconds), cellOf(model.step, seconds),
    cellOf(model.epoch, seconds), cellOf(model.memory, bytes));
}

function showAnswer() {
  const found = answer();
  const host = document.getElementById("answer");
  host.dataset.kind = found.kind;
  host.dataset.best = found.best ?? "";
  const head = ["Model", "Verdict", "NDCG@10", "p50", "p95", "Next event", "Epoch", "Memory"];
  const table = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "The models at this length" },
    make("table", {}, make("caption", {}, "The models at this length"),
      make("thead", {}, make("tr", {}, ...head.map((text, place) =>
        make("th", { scope: "col", class: place > 1 ? "number" : undefined }, text)))),
      make("tbody", {}, ...found.models.map((model) => rowOf(model, found.best)))));
  host.replaceChildren(make("p", { class: "verdict" }, name(found.title)),
    make("ul", {}, ...found.lines.map((line) => make("li", {}, name(line)))),
    ...(found.models.length ? [table] : []));
  field("share").value = `${field("weight").value}%`;
  keepWishes();
}

// The question is kept in the address, so that a link to the page asks it again.
const KEPT = ["history", "items", "memory", "latency", "device", "setting", "weight"];

function keepWishes() {
  const wishes = new URLSearchParams(KEPT.map((key) => [key, field(key).value]).filter(([, value]) => value));
  try { history.replaceState(null, "", `#${wishes}`); } catch { /* not allowed here: nothing is lost */ }
}

function fillSettings() {
  const device = field("device").value;
  const options = data.chooser.settings.map((setting, place) => ({ setting, place }))
    .filter(({ setting }) => setting.device === device)
    .map(({ setting, place }) => make("option", { value: place }, setting.label || setting.machine));
  field("setting").replaceChildren(...options);
  document.getElementById("setting-field").hidden = options.length < 2;
}

function commonLength(dataset) {
  const seen = new Map();
  for (const model of dataset.models) {
    for (const curve of [model.epoch, model.latency, model.accuracy]) {
      for (const at of curve?.at ?? []) seen.set(at, (seen.get(at) ?? 0) + 1);
    }
  }
  return [...seen.entries()].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0]?.[0] ?? 50;
}

function startChooser() {
  const { settings } = data.chooser;
  const devices = [...new Set(settings.map((setting) => setting.device))];
  field("device").replaceChildren(...devices.map((device) => make("option", { value: device }, device)));
  fillSettings();
  if (settings.length) {
    const [dataset] = settings[0].datasets;
    field("history").value = commonLength(dataset);
    field("items").value = dataset.items ?? "";
  }
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const key of KEPT) {
    if (!kept.has(key)) continue;
    field(key).value = kept.get(key);
    if (key === "device") fillSettings();
  }
  field("device").addEventListener("change", fillSettings);
  form.addEventListener("input", showAnswer);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  document.getElementById("answer").hidden = false;
  showAnswer();
}
