// Numbers as people read them, and elements made of text: nothing here takes markup.
const data = JSON.parse(document.getElementById("data").textContent);

function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size < 1e-4) return value.toPrecision(2);
  if (size >= 1) return value.toFixed(size < 10 ? 2 : 1);
  return String(Number(value.toPrecision(3)));
}

function seconds(value) {
  const [name, size] = value >= 1 ? ["s", 1] : value >= 1e-3 ? ["ms", 1e-3] : ["µs", 1e-6];
  return `${number(value / size)} ${name}`;
}

function bytes(value) {
  const [name, size] = value >= 10 * 2 ** 30 ? ["GiB", 2 ** 30] : ["MiB", 2 ** 20];
  return `${number(value / size)} ${name}`;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// A text in whatever direction it is written, which must not turn its surroundings around.
function name(text) {
  return make("bdi", {}, text);
}

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
