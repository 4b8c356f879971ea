// How sure a choice is: uncertain numbers are drawn again 2,000 times, and who is best is counted.
const DRAWS = 2000;

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

// Weight of accuracy against the geometric mean of the costs; `normal` is 0 for the typical score.
function scoreOf(model, weight, costs, normal) {
  let score = 0;
  if (weight > 0) {
    const { value, sd, n } = model.accuracy;
    score += weight * Math.log(Math.max(value + (sd ? (sd / Math.sqrt(n)) * normal() : 0), 1e-9));
  }
  for (const cost of weight < 1 ? costs : []) {
    const part = model[cost];
    score -= ((1 - weight) / costs.length) * (Math.log(part.value) + spreadOf(part) * normal());
  }
  return score;
}

// How often each is best.
function shares(models, weight, costs) {
  const normal = randomNormal(7);
  const wins = models.map(() => 0);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    let best = 0;
    let top = -Infinity;
    models.forEach((model, place) => {
      const score = scoreOf(model, weight, costs, normal);
      if (score > top) [best, top] = [place, score];
    });
    wins[best] += 1;
  }
  return wins.map((count) => count / DRAWS);
}
