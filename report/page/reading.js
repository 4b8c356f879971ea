// One number of one model: a measured length as it is, one between by the fit or, without one, by
// its neighbours; beyond what was measured nothing is known.
const NEAR = 2; // a catalogue or an accuracy this many times off still stands for what was asked

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

// {value, low, high, how, disturbed} or {unknown: why} or {out: why}, where memory was not enough.
function valueAt(curve, length) {
  if (!curve) return { unknown: "not measured" };
  const place = curve.at.indexOf(length);
  const stop = curve.gaps.find(([at, status]) => status.endsWith("oom") && at <= length);
  if (stop && place < 0) return { out: `out of memory at L = ${stop[0]}` };
  if (place >= 0) {
    const [value, low, high] = [curve.value[place], curve.low[place], curve.high[place]];
    return { value, low, high, how: "measured", disturbed: disturbedAt(curve, [length]) };
  }
  const gap = curve.gaps.find(([at]) => at === length);
  if (gap) return { unknown: `${gap[1]}: ${gap[2]}` };
  if (!curve.at.length) return { unknown: curve.gaps.length ? `${curve.gaps[0][1]}: ${curve.gaps[0][2]}` : "not measured" };
  if (length < curve.at[0] || length > curve.at.at(-1)) return { unknown: `measured at ${lengthsOf(curve.at)} only` };
  if (!curve.fit || length < curve.fit.at[0] || length > curve.fit.at.at(-1)) return bracketed(curve, length);
  const [value, low, high] = ["value", "low", "high"].map((key) => between(curve.fit, length, key));
  return { value, low, high, how: "by the fit", disturbed: disturbedAt(curve, curve.at) };
}

// Without a fit: on the line between the neighbours, with bounds that hold both of them.
function bracketed(curve, length) {
  const right = curve.at.findIndex((at) => at > length);
  const near = [curve.at[right - 1], curve.at[right]];
  return { value: between(curve, length, "value"), how: `between L = ${near[0]} and ${near[1]}`,
    low: Math.min(curve.low[right - 1], curve.low[right]), high: Math.max(curve.high[right - 1], curve.high[right]),
    disturbed: disturbedAt(curve, near) };
}

function disturbedAt(curve, lengths) { // "contended", "" where all was quiet
  return curve.disturbed.find(([at]) => lengths.includes(at))?.[1] ?? "";
}

function accuracyAt(accuracy, length) {
  if (!accuracy.at.length) return { unknown: "no accuracy was measured" };
  const off = (at) => Math.abs(Math.log(at / length));
  const place = accuracy.at.reduce((best, at, here) => (off(at) < off(accuracy.at[best]) ? here : best), 0);
  const at = accuracy.at[place];
  if (off(at) > Math.log(NEAR) + 1e-9) return { unknown: `accuracy measured at ${lengthsOf(accuracy.at)} only` };
  const unsure = [accuracy.n[place] < 2 ? "of one seed, whose spread is not known" : "",
    stoppedOf(accuracy.stopped[place], accuracy.n[place])].filter(Boolean);
  const here = Object.fromEntries(["value", "sd", "n", "users", "epochs", "batch", "run", "borrowed"].map((name) => [name, accuracy[name][place]]));
  return { ...here, at, unsure };
}

function stoppedOf(stopped, fits) { // what is said of fits that might have learned more
  if (!stopped) return "";
  const limit = "stopped by their limit of epochs";
  return stopped < fits ? `of ${fits} fits with ${stopped} ${limit}` : `of fits that were ${limit}`;
}

function batchAt(model, length) { // of training: "32", or "327 to 163" between two lengths
  const { at, size } = model.batches;
  const right = at.findIndex((one) => one >= length);
  if (right < 0) return "";
  const near = at[right] === length ? [size[right]] : size.slice(Math.max(0, right - 1), right + 1);
  return [...new Set(near)].join(" to ");
}

function commandAt(command, length) { // {L} stands where the length is to be
  return command.replaceAll("{L}", length);
}

function decides(accuracy) { // whether a choice may rest on it
  return accuracy.value > 0 && !accuracy.unsure.length;
}
