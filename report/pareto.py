"""Which names nobody beats in everything at once, and how sure that is.

A name is on the front where no other is at least as good in every metric and better in one. Each
metric's mean is drawn from what its samples (seeds, processes) allow, many times: the share of
draws in which a name is on the front is its probability. Drawn is from the t distribution of the
mean, of logarithms where all values are positive and low is good: resampling three seeds with
replacement would take their mean for surer than it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Points = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class Dominance:
    """Who beats a name in everything most often.

    Args:
        by: the other name; probability: the share of draws in which it does.
        margins: metric -> how much better the other one is, as a fraction: 0.2 of a time means a
            fifth less, of an accuracy a fifth more; negative where it is worse.
    """

    by: str
    probability: float
    margins: dict[str, float]


def front_probabilities(
    points: Points, *, highest: Collection[str], draws: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Each name's probability to be on the front.

    Args:
        points: name -> metric -> samples in SI units; every name has the same metrics. One sample
            alone is taken as exact, since nothing is known of its spread.
        highest: the metrics of which high values are good; of all others low ones are.

    Raises:
        ValueError: a name lacks a metric, a metric has no sample or one that is no number.
    """
    beaten = _beaten(_draws(points, highest, draws, seed))
    return {name: float(1 - beaten[:, :, at].any(axis=1).mean()) for at, name in enumerate(points)}


def dominances(
    points: Points, *, highest: Collection[str], draws: int = 2000, seed: int = 0
) -> dict[str, Dominance]:
    """For each name that is ever beaten, by whom most often and by which margins.

    Args and errors as `front_probabilities`.
    """
    costs = _draws(points, highest, draws, seed)
    shares = _beaten(costs).mean(axis=0)
    names, found = list(points), {}
    for at, name in enumerate(names):
        by = int(np.argmax(shares[:, at]))
        if shares[by, at] > 0:
            margins = {
                metric: _margin(points[names[by]][metric], samples, metric in highest)
                for metric, samples in points[name].items()
            }
            found[name] = Dominance(names[by], float(shares[by, at]), margins)
    return found


def _draws(points: Points, highest: Collection[str], draws: int, seed: int) -> Array:
    """Costs, the lower the better: (draws, names, metrics)."""
    random = np.random.default_rng(seed)
    metrics = list(next(iter(points.values()), {}))
    costs = np.empty((draws, len(points), len(metrics)))
    for row, (name, values) in enumerate(points.items()):
        if set(values) != set(metrics):
            allowed = ", ".join(metrics)
            raise ValueError(f"{name}: metrics {', '.join(values)}; allowed are {allowed}")
        for column, metric in enumerate(metrics):
            samples = np.asarray(values[metric], dtype=float)
            if not len(samples) or not np.isfinite(samples).all():
                raise ValueError(f"{name}: {metric} needs samples, all of them numbers")
            sign = -1.0 if metric in highest else 1.0
            costs[:, row, column] = sign * _mean_draws(samples, sign > 0, draws, random)
    return costs


def _mean_draws(
    samples: Array, low_is_good: bool, draws: int, random: np.random.Generator
) -> Array:
    """Means that the samples allow; of logarithms where that keeps the order."""
    values = np.log(samples) if low_is_good and samples.min() > 0 else samples
    n = len(values)
    if n == 1 or np.ptp(values) == 0:
        found = np.full(draws, values[0])
    else:
        error = values.std(ddof=1) / math.sqrt(n)
        found = values.mean() + error * random.standard_t(n - 1, draws)
    return np.asarray(np.exp(found) if values is not samples else found)


def _beaten(costs: Array) -> npt.NDArray[np.bool_]:
    """Whether one beats another in a draw: (draws, one, other)."""
    one, other = costs[:, :, None], costs[:, None]
    return np.asarray((one <= other).all(axis=-1) & (one < other).any(axis=-1))


def _margin(one: Sequence[float], other: Sequence[float], high_is_good: bool) -> float:
    """How much better the means of one are, as a fraction of the other's."""
    ours, theirs = float(np.mean(one)), float(np.mean(other))
    if theirs == 0:
        return 0.0 if ours == 0 else math.copysign(math.inf, ours if high_is_good else -ours)
    return (ours - theirs) / theirs * (1 if high_is_good else -1)
