// Orders the models that fit, and says how sure that order is: by draws where costs have a say, by
// the same paired tests as the page's table where accuracy alone decides.
const SURE = 0.95;
const NOISE = 0.01; // a share below this is not worth a word
const WHILE = { contended: "while others were at work", throttled: "while the processor was slowed down" };

function percent(share) {
  if (share < NOISE) return "under 1%";
  return share > 0.995 ? "over 99%" : `${Math.round(100 * share)}%`;
}

function listed(labels) {
  return labels.length > 1 ? `${labels.slice(0, -1).join(", ")} and ${labels.at(-1)}` : labels[0] ?? "";
}

function named(models) {
  return listed(models.map(({ label }) => label));
}

function whileOf(model, costs) { // "while others were at work", "" where its times were quiet
  const found = costs.map((cost) => model[cost].disturbed).find(Boolean);
  return found ? WHILE[found] ?? WHILE.contended : "";
}

// {order, rivals: those that may be as good, lines}; each model's `said` is its verdict.
function byAccuracy(rated, dataset) {
  const order = [...rated].sort((a, b) => b.accuracy.value - a.accuracy.value);
  const [best, ...others] = order;
  const apart = (model) => dataset.apart.some(([run, at, ...pair]) =>
    [model, best].every((one) => one.accuracy.run === run && one.accuracy.at === at && pair.includes(one.model)));
  const rivals = others.filter((model) => !apart(model));
  best.said = "highest mean";
  for (const model of others) model.said = rivals.includes(model) ? "not told apart" : "lower, told apart";
  const tests = `paired tests ${dataset.tested} at 5%, as in the table of differences below`;
  const told = others.filter((model) => !rivals.includes(model));
  const lines = [`By accuracy alone${others.length ? ` (${tests})` : "; no other model is known to fit"}.`];
  if (told.length && rivals.length) lines.push(`Lower: ${named(told)}.`);
  return { order, rivals, lines };
}

function byDraws(rated, wish, costs) {
  const won = new Map(shares(rated, wish.weight, costs).map((share, place) => [rated[place], share]));
  const typical = new Map(rated.map((model) => [model, scoreOf(model, wish.weight, costs, TYPICAL)]));
  const order = [...rated].sort((a, b) => won.get(b) - won.get(a) || typical.get(b) - typical.get(a));
  const [best, second] = order;
  for (const model of rated) model.said = rated.length > 1 ? `best in ${percent(won.get(model))}` : "fits";
  const sure = won.get(best) >= SURE;
  const near = order.slice(1).filter((model) => won.get(model) > 1 - SURE);
  const rivals = sure || !second ? [] : near.length ? near : [second];
  const words = { latency: "latency", epoch: "time of an epoch", training: "training time to early stopping" };
  const weights = [wish.weight > 0 ? `accuracy (${Math.round(100 * wish.weight)}%)` : "",
    `${costs.map((cost) => words[cost]).join(" and ")} (${Math.round(100 * (1 - wish.weight))}%)`];
  const by = `By ${weights.filter(Boolean).join(" and ")}`;
  if (!second) return { order, rivals, lines: [`${by}; no other model is known to fit.`] };
  if (order.slice(0, 2).some((model) => whileOf(model, costs))) {
    for (const model of rated) model.said = model === best ? "ahead as measured" : "behind as measured";
    return { order, rivals, lines: [`${by}, as the times were measured.`] };
  }
  const next = won.get(second) < NOISE ? "" : `, ${second.label} in ${percent(won.get(second))}`;
  return { order, rivals, lines: [`${by}: the best in ${percent(won.get(best))} of ${DRAWS.toLocaleString("en")} draws within the measured uncertainty${next}.`] };
}

function ranked(rated, models, dataset, wish, costs, lines) {
  const { order, rivals, lines: why } = wish.weight === 1 ? byAccuracy(rated, dataset) : byDraws(rated, wish, costs);
  const [best] = order;
  const open = models.filter((model) => model.open.length && !model.no.length);
  const disturbed = wish.weight < 1 ? order.slice(0, 2).filter((model) => whileOf(model, costs)) : [];
  const all = [...why, ...disturbance(disturbed, dataset, wish, costs), ...lines, ...remarks(rated, models, wish, costs)];
  if (open.length) {
    all.push(`Not judged: ${open.map((model) => `${model.label} (${model.open[0]})`).join("; ")}.`);
    all.push(...missing(open, dataset, wish));
  }
  const found = { best: best.label, models, lines: all };
  if (rivals.length) return { ...found, kind: "tie", title: `${best.label}, but not clearly: ${named(rivals)} may be as good` };
  if (disturbed.length) {
    const rest = rated.length > 1 ? ` is ahead, but ${named(disturbed)}` : ", but it";
    return { ...found, kind: "disturbed", title: `${best.label}${rest} ${disturbed.length > 1 ? "were" : "was"} measured ${whileOf(disturbed[0], costs)}` };
  }
  if (!open.length) return { ...found, kind: "best", title: best.label };
  if (rated.length === 1) return { ...found, kind: "only", title: `Only ${best.label} could be judged` };
  return { ...found, kind: "best", title: `${best.label}, of the ${rated.length} that could be judged` };
}

function disturbance(disturbed, dataset, wish, costs) {
  if (!disturbed.length) return [];
  const work = { latency: wish.request, epoch: "epoch", training: "epoch" };
  const cost = costs.find((key) => disturbed.some((model) => model[key].disturbed));
  return [{ text: `Times of ${named(disturbed)} were measured ${whileOf(disturbed[0], costs)}, which no interval covers. What measures them again:`,
    command: `${commandAt(dataset.commands[work[cost]], wish.length)} --fresh` }];
}

function remarks(rated, models, wish, costs) { // where numbers come from that are not exactly of what was asked
  const lines = [];
  const how = new Set(wish.weight < 1 ? rated.flatMap((model) => costs.map((cost) => model[cost].how)) : []);
  for (const text of how) {
    if (text.startsWith("between")) lines.push(`There is no fit for some of the costs: they lie ${text}, anywhere within the bounds of the two.`);
  }
  const fits = [...new Set(rated.filter((model) => model.batch !== model.accuracy.batch).map((model) => model.accuracy.batch))];
  if (costs.includes("training") && fits.length) lines.push(`Training time is an epoch times as many as the fits took, which had batch ${fits.join(", ")}; at another batch another number is needed.`);
  const again = models.filter((model) => model.recomputes && !model.no.length);
  if (again.length) lines.push(`${named(again)} ${again.length > 1 ? "keep" : "keeps"} no state: one more event costs a request with the whole history.`);
  const batches = new Set(rated.flatMap((model) => model.batches));
  if (wish.memory !== null && batches.size > 1) lines.push("The batch of training was chosen by L: with another batch than the one beside the memory, another memory is needed.");
  if (wish.weight === 0) return lines;
  const at = [...new Set(rated.map((model) => model.accuracy.at))].filter((one) => one !== wish.length);
  if (at.length) lines.push(`Accuracy is that of L = ${at.join(", ")}, the nearest measured length.`);
  const sources = [...new Set(rated.map((model) => model.accuracy.borrowed).filter(Boolean))];
  if (sources.length) lines.push(`Accuracy comes from run ${sources.join(", ")}, on the same sequences.`);
  return lines;
}
