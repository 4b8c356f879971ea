// How sure a choice is: uncertain numbers are drawn again 2,000 times, and who is best is counted.
const DRAWS = 2000;
const TYPICAL = { normal: () => 0, t: () => 0 };

function randomNumbers(seed) {
  let state = seed >>> 0;
  const next = () => { // mulberry32, so that the same question has the same answer
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const t = (degrees) => { // Student's: a normal over the root of a mean of squares of others
    let squares = 0;
    for (let one = 0; one < degrees; one += 1) squares += normal() ** 2;
    return normal() / Math.sqrt(squares / degrees);
  };
  return { normal, t };
}

function spreadOf(part) { // of the logarithm; bounds are taken as those of 95%
  return part.high > part.low && part.low > 0 ? Math.log(part.high / part.low) / 3.92 : 0;
}

// Weight of accuracy against the geometric mean of the costs. An accuracy may be off by its seeds
// (Student's t, since they are few) and by which users were tested; all models have the same users,
// which makes their errors alike and this too wide, never too narrow.
function scoreOf(model, weight, costs, random) {
  let score = 0;
  if (weight > 0) {
    const { value, sd, n, users } = model.accuracy;
    const error = (sd / Math.sqrt(n)) * random.t(n - 1) + users * random.normal();
    score += weight * Math.log(Math.max(value + error, 1e-9));
  }
  for (const cost of weight < 1 ? costs : []) {
    const part = model[cost];
    score -= ((1 - weight) / costs.length) * (Math.log(part.value) + spreadOf(part) * random.normal());
  }
  return score;
}

// How often each is best.
function shares(models, weight, costs) {
  const random = randomNumbers(7);
  const wins = models.map(() => 0);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    let best = 0;
    let top = -Infinity;
    models.forEach((model, place) => {
      const score = scoreOf(model, weight, costs, random);
      if (score > top) [best, top] = [place, score];
    });
    wins[best] += 1;
  }
  return wins.map((count) => count / DRAWS);
}
