// The judgement: which models fit what was asked, and what is to be said where none does.

function judge(model, wish) {
  const found = {
    model: model.model, label: model.label, accuracy: accuracyAt(model.accuracy, wish.length),
    epoch: valueAt(model.epoch, wish.length), memory: valueAt(model.memory, wish.length),
    latency: valueAt(model.latency, wish.length), tail: valueAt(model.tail, wish.length),
    batch: batchAt(model, wish.length), batches: model.batches.size, recomputes: false, no: [], open: [],
    task: model.task,
  };
  found.training = trainingOf(found);
  found.other = valueAt(model.step, wish.length);
  if (wish.request === "event") {
    [found.latency, found.other] = model.recomputes ? [found.latency, found.latency] : [found.other, found.latency];
    if (!model.recomputes) found.tail = valueAt(model.step_tail, wish.length);
    found.recomputes = model.recomputes;
  }
  for (const part of [found.epoch, found.latency]) if (part.out && !found.no.includes(part.out)) found.no.push(part.out);
  for (const [limit, part, words, write] of [
    [wish.memory, found.memory, "memory", bytes], [wish.latency, found.tail, "p95", seconds]]) {
    if (limit === null || found.no.includes(part.out)) continue;
    if (part.out) found.no.push(part.out);
    else if (part.unknown) found.open.push(`${words} not known: ${part.unknown}`);
    else if (part.low > limit && part.disturbed) found.open.push(`${words} ${write(part.value)} is over ${write(limit)}, but was measured ${WHILE[part.disturbed] ?? WHILE.contended}`);
    else if (part.low > limit) found.no.push(`${words} ${write(part.value)} is over ${write(limit)}`);
    else if (part.high > limit) found.open.push(`${words} ${write(part.low)} to ${write(part.high)} is too near ${write(limit)}`);
  }
  return found;
}

// As many epochs as the fits took to early stopping; their least and most are its bounds.
function trainingOf({ epoch, accuracy }) {
  if (!(epoch.value > 0) || !decides(accuracy) || !accuracy.epochs) return { unknown: epoch.unknown ?? "the number of epochs is not known" };
  const [low, mean, high] = accuracy.epochs;
  return { ...epoch, value: epoch.value * mean, low: epoch.low * low, high: epoch.high * high, epochs: mean };
}

// Where nobody knows how many epochs are needed, only epochs of one task are compared.
function ofOneTask(models) {
  const count = (one) => models.filter(({ task }) => task === one).length;
  const [main] = models.map(({ task }) => task).filter(Boolean).sort((a, b) => count(b) - count(a));
  for (const model of models) if (model.task && model.task !== main) model.open.push(`an epoch of ${model.task} is another task`);
  return models.filter((model) => !model.open.length);
}

// {kind: "best" | "tie" | "disturbed" | "only" | "none" | "unknown", title, lines, models}; a line is a text, or
// {text, command} with what measures what is missing.
function answer() {
  const wish = asked();
  if (!wish.setting) return { kind: "unknown", title: "Nothing was measured to choose from.", lines: [], models: [] };
  if (wish.length === null) return { kind: "unknown", title: "Give a history length.", lines: [], models: [] };
  const { dataset, far } = nearestDataset(wish.setting, wish.items);
  if (far) {
    const measured = far.map((one) => `${one.label} ${one.items.toLocaleString("en")}`).join("; ");
    return { kind: "unknown", models: [],
      title: `Not known for a catalogue of ${wish.items.toLocaleString("en")} items.`,
      lines: [`The nearest that was measured is more than ${NEAR} times larger or smaller (${measured}), and the cost of ranking and of the softmax grows with the catalogue.`,
        { text: "What measures data of your own, a file of users, items and times:", command: commandAt(far[0].commands.own, wish.length) }] };
  }
  const models = dataset.models.map((model) => judge(model, wish));
  const lines = [];
  if (dataset.items && wish.items && dataset.items !== wish.items) lines.push(`Measured on ${dataset.label}, with ${dataset.items.toLocaleString("en")} items.`);
  let fit = models.filter((model) => !model.no.length && !model.open.length);
  const work = fit.every(({ epoch, training }) => training.value > 0 || !(epoch.value > 0)) ? "training" : "epoch";
  if (work === "epoch" && wish.weight < 1) fit = ofOneTask(fit);
  const costs = ["latency", work].filter((key) => fit.some((model) => model[key].value > 0));
  const byCost = wish.weight > 0 && wish.weight < 1 && fit.length && !fit.some((model) => decides(model.accuracy));
  if (byCost) {
    lines.push(missingAccuracy(fit, dataset, wish));
    wish.weight = 0;
  }
  const rated = fit.filter((model) =>
    (wish.weight === 0 || decides(model.accuracy)) &&
    (wish.weight === 1 || (costs.length && costs.every((key) => model[key].value > 0))));
  for (const model of fit) {
    if (rated.includes(model)) continue;
    const parts = [wish.weight > 0 ? model.accuracy : {}, ...(wish.weight < 1 ? [model.latency, model.epoch] : [])];
    model.open.push(...new Set(parts.map((part) => part.unknown ?? (part.unsure?.length ? `accuracy ${part.unsure[0]}` : "")).filter(Boolean)));
  }
  if (!rated.length) return nothing(models, dataset, wish, lines);
  const found = ranked(rated, models, dataset, wish, costs, lines);
  return byCost ? { ...found, title: `By cost alone: ${found.title}` } : found;
}

function missingAccuracy(models, dataset, wish) {
  const why = new Set(models.flatMap(({ accuracy }) => accuracy.unknown ?? accuracy.unsure.map((text) => `it is ${text}`)));
  return { text: `Accuracy does not decide${models.length < dataset.models.length ? ` on ${named(models)}` : ""}: ${[...why].join("; ")}. What measures it:`,
    command: commandAt(dataset.commands.accuracy, wish.length) };
}

// What would have to be measured to judge the models that could not be, with the commands that do.
function missing(models, dataset, wish) {
  const left = models.filter((model) => !model.no.length);
  const lines = [];
  const blind = wish.weight > 0 ? left.filter((model) => !decides(model.accuracy)) : [];
  if (blind.length) lines.push(missingAccuracy(blind, dataset, wish));
  if (blind.some((model) => model.latency.value > 0 || model.epoch.value > 0)) lines.push("The cost is known: set the weight of accuracy to 0% to choose by cost alone.");
  const needed = [["epoch", "epoch", wish.weight < 1], ["latency", wish.request, wish.weight < 1],
    ["memory", "epoch", wish.memory !== null], ["tail", wish.request, wish.latency !== null]];
  const commands = new Set(needed.filter(([part, , asked]) => asked && left.some((model) => model[part].unknown)).map(([, work]) => dataset.commands[work]));
  for (const command of commands) lines.push({ text: `What measures the missing costs at L = ${wish.length}:`, command: commandAt(command, wish.length) });
  return lines;
}

function nothing(models, dataset, wish, lines) {
  const unknown = models.filter((model) => model.open.length && !model.no.length);
  if (!unknown.length && models.length) return { kind: "none", title: "Nothing that was measured fits.", lines, models };
  lines.push(...missing(models, dataset, wish));
  return { kind: "unknown", title: `Not known at L = ${wish.length}.`, lines, models };
}
