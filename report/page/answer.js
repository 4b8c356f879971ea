// Shows what was answered: a title, why, and each model's numbers.

const HOW = { measured: "", by: " (fit)", between: " (between)" };

function cellOf(part, write, ...more) {
  if (part.value === undefined) return make("td", { class: "number", title: part.out ?? part.unknown }, part.out ? "out of memory" : "not known");
  const range = part.high > part.low ? `${write(part.low)} to ${write(part.high)}` : part.how;
  return make("td", { class: "number", title: `${part.how}; ${range}` }, make("span", { class: "amount" }, write(part.value)), HOW[part.how.split(" ")[0]],
    part.disturbed ? ` (${part.disturbed})` : "", ...more);
}

function rowOf(model, best) {
  const { accuracy } = model;
  const spread = accuracy.sd === null || accuracy.sd === undefined ? " (one seed)" : ` ± ${accuracy.sd.toFixed(4)}`;
  const verdict = model.no[0] ?? model.open[0] ?? model.said ?? "fits";
  const state = model.no.length ? "no" : model.open.length ? "open" : "fits";
  const cells = [make("td", {}, name(verdict)),
    make("td", { class: "number" }, accuracy.value ? accuracy.value.toFixed(4) + spread : "not known"),
    cellOf(model.latency, seconds), cellOf(model.tail, seconds), cellOf(model.other, seconds),
    cellOf(model.epoch, seconds, model.training.epochs ? ` × ${Math.round(model.training.epochs)}` : ""),
    cellOf(model.memory, bytes, ...(model.batch ? [" ", make("span", { class: "batch" }, `batch ${model.batch}`)] : []))];
  cells.forEach((cell, place) => { cell.dataset.head = headOf()[place + 1]; }); // shown where rows are cards
  return make("tr", { "data-state": state, class: model.label === best ? "best" : undefined },
    make("th", { scope: "row" }, name(model.label)), ...cells);
}

function headOf() {
  const other = field("request").value === "event" ? "Whole history" : "Next event";
  return ["Model", "Verdict", "NDCG@10", "p50", "p95", other, "Epoch", "Memory"];
}

// What a weight means, by the score that draws.js works out.
function worthOf(weight) {
  if (weight === 0) return "Cost alone decides.";
  if (weight === 1) return "Accuracy alone decides.";
  const factor = 1.1 ** (weight / (1 - weight));
  const much = factor < 2 ? `${Number((100 * (factor - 1)).toPrecision(3))}% more latency and training time` : `${number(factor)} times the latency and training time`;
  return `10% more NDCG@10 makes up for ${much}, both at once.`;
}

function itemOf(line) {
  if (!line.command) return make("li", {}, name(line));
  return make("li", {}, name(line.text), make("pre", { tabindex: "0" }, make("code", {}, line.command)));
}

// After commands that measure what is missing: how their results come onto this page.
function together(lines) {
  const more = lines.map(({ command }) => command).filter((command) => command && !command.endsWith("--fresh"));
  const files = more.flatMap((command) => command.match(/(?<=--benchmark-json=)\S+/)?.[0] ?? []);
  if (!files.length) return [];
  return [{ text: "Then one page of both:", command: `${data.again} ${[...new Set(files)].join(" ")}` }];
}

function showAnswer() {
  const found = answer();
  const host = document.getElementById("answer");
  host.dataset.kind = found.kind;
  host.dataset.best = found.best ?? "";
  const table = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "The models at this length" },
    make("table", {}, make("caption", {}, "The models at this length"),
      make("thead", {}, make("tr", {}, ...headOf().map((text, place) =>
        make("th", { scope: "col", class: place > 1 ? "number" : undefined }, text)))),
      make("tbody", {}, ...found.models.map((model) => rowOf(model, found.best)))));
  host.replaceChildren(make("p", { class: "verdict" }, name(found.title)),
    make("ul", {}, ...[...found.lines, ...together(found.lines)].map(itemOf)),
    ...(found.models.length ? [table] : []));
  watchFrame(table);
  field("share").value = `${field("weight").value}%`;
  document.getElementById("worth").textContent = worthOf(Number(field("weight").value) / 100);
  keepWishes();
}
