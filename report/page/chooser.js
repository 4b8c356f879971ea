// The question: a form, its defaults, and the address that keeps it.
const form = document.getElementById("wishes");
const field = (key) => form.elements[key];
let defaults = {}; // of the data set that was chosen last

function asked() {
  const amount = (key) => {
    const value = Number.parseFloat(field(key).value);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  return {
    request: field("request").value, length: amount("history"), items: amount("items"), weight: Number(field("weight").value) / 100,
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

// The question is kept in the address, so that a link to the page asks it again.
const KEPT = ["history", "items", "memory", "latency", "request", "device", "setting", "weight"];

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

function defaultsOf(setting) {
  const dataset = setting?.datasets[0];
  return dataset ? { history: String(commonLength(dataset)), items: String(dataset.items ?? "") } : {};
}

// What the reader left as it was follows the data set; what was typed stays.
function followDefaults() {
  const next = defaultsOf(data.chooser.settings[field("setting").value]);
  for (const [key, value] of Object.entries(next)) {
    if (field(key).value === (defaults[key] ?? "")) field(key).value = value;
  }
  defaults = next;
}

function startChooser() {
  const { settings } = data.chooser;
  const devices = [...new Set(settings.map((setting) => setting.device))];
  field("device").replaceChildren(...devices.map((device) => make("option", { value: device }, device)));
  fillSettings();
  followDefaults();
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const key of KEPT) {
    if (!kept.has(key)) continue;
    field(key).value = kept.get(key);
    if (key === "device") fillSettings();
  }
  defaults = defaultsOf(settings[field("setting").value]);
  form.addEventListener("input", (event) => {
    if (event.target.name === "device") fillSettings();
    if (["device", "setting"].includes(event.target.name)) followDefaults();
    showAnswer();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  document.getElementById("answer").hidden = false;
  showAnswer();
}
