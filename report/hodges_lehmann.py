"""How far two sides differ, and how sure that is: Hodges-Lehmann estimates with exact intervals.

A pair is r = ln(head / base), + is worse. The estimate is the median of the Walsh averages, the
means of all pairs of r; its bounds are order statistics of them, by the exact distribution of
Wilcoxon's signed rank, which assumes nothing but symmetry. Two files hold one process a side: there
the differences of all rounds are used (Mann-Whitney). Arrays are worked on along their last axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit  # scipy.stats costs half a second and 45 MB more

Array = npt.NDArray[np.float64]
MOST_ROUNDS = 30  # longer rows become so many medians: neighbouring rounds are alike
FEWEST_ROUNDS = 5  # with fewer a side no bound at 1% exists without an assumption


@dataclass(frozen=True)
class Interval:
    """An estimate and two one-sided bounds at alpha; infinite where the samples are too few."""

    estimate: float
    low: float
    high: float
    alpha: float
    method: str


def walsh_averages(r: Array) -> Array:
    """Means of all pairs, each also with itself, in no order: (..., n) -> (..., n (n + 1) / 2)."""
    first, second = np.triu_indices(r.shape[-1])
    return (r[..., first] + r[..., second]) / 2


def hodges_lehmann(r: Array) -> Array:
    """The shift of r from 0: the median of its Walsh averages."""
    return np.asarray(np.median(walsh_averages(r), axis=-1))


def bounds(r: Array, alpha: float) -> tuple[Array, Array]:
    """The lower and the upper one-sided bound of the shift, each at alpha."""
    return _order_statistics(walsh_averages(r), _rank(_signed_rank_cdf(r.shape[-1]), alpha))


def paired(r: Sequence[float], alpha: float) -> Interval:
    """The shift of paired log ratios."""
    low, high = bounds(pairs := np.asarray(r, dtype=float), alpha)
    method = f"Hodges-Lehmann, exact signed rank, {len(pairs)} pairs"
    return Interval(float(hodges_lehmann(pairs)), float(low), float(high), alpha, method)


def p_above(r: Array, shift: float) -> Array:
    """Exact p-value of "the shift is at most `shift`": small where r lies clearly above it."""
    below = np.sum(walsh_averages(r) <= shift, axis=-1)
    return np.asarray(_signed_rank_cdf(r.shape[-1])[below])


def pairs_needed(alpha: float, tests: int = 1) -> int:
    """The fewest pairs that can decide one of so many tests by Holm: 2^-n < alpha / tests."""
    return int(np.floor(np.log2(max(tests, 1) / alpha))) + 1


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall when the chance of one false alarm among all is kept at alpha."""
    order = np.argsort(p_values, kind="stable")
    rejected = [False] * len(p_values)
    for place, index in enumerate(order):
        if p_values[index] > alpha / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def unpaired(base: Sequence[float], head: Sequence[float], alpha: float) -> Interval:
    """The shift from base to head, both logarithms of rounds of one process each."""
    x, y = _thinned(base), _thinned(head)
    if min(len(x), len(y)) < FEWEST_ROUNDS:
        return _welch(x, y, alpha)
    differences = (y[:, None] - x[None, :]).ravel()
    low, high = _order_statistics(differences, _rank(_mann_whitney_cdf(len(x), len(y)), alpha))
    method = f"Hodges-Lehmann, exact Mann-Whitney, {len(x)} and {len(y)} rounds"
    return Interval(float(np.median(differences)), float(low), float(high), alpha, method)


def mean_difference(differences: Sequence[float], alpha: float) -> Interval:
    """The mean of paired differences by Student's t: accuracy, with seeds as pairs."""
    mean = float(np.mean(values := np.asarray(differences, dtype=float)))
    if (n := len(values)) < 2:
        return Interval(mean, -np.inf, np.inf, alpha, "one pair")
    # Alike by chance: counts of a few hundred users differ by the same step now and then.
    if n < FEWEST_ROUNDS and mean and len(set(differences)) == 1:
        return Interval(mean, -np.inf, np.inf, alpha, f"{n} seeds, all alike")
    reach = float(stdtrit(n - 1, 1 - alpha) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, alpha, f"paired t, {n} seeds")


def _welch(x: Array, y: Array, alpha: float) -> Interval:
    shift = float(np.mean(y) - np.mean(x))
    if min(len(x), len(y)) < 2:
        return Interval(shift, -np.inf, np.inf, alpha, "one number a side")
    variance = sum(squares := (np.var(x, ddof=1) / len(x), np.var(y, ddof=1) / len(y)))
    freedom = sum(s**2 / (len(v) - 1) for s, v in zip(squares, (x, y), strict=True))
    if shift and not freedom > 0:
        alike = f"{len(x)} and {len(y)} rounds, all alike"
        return Interval(shift, -np.inf, np.inf, alpha, alike)
    t = stdtrit(variance**2 / freedom, 1 - alpha) if freedom > 0 else 0.0
    reach = float(t * np.sqrt(variance))
    method = f"Welch's t, {len(x)} and {len(y)} rounds"
    return Interval(shift, shift - reach, shift + reach, alpha, method)


def _thinned(rounds: Sequence[float]) -> Array:
    parts = np.array_split(np.asarray(rounds, dtype=float), max(1, min(len(rounds), MOST_ROUNDS)))
    return np.array([np.median(part) for part in parts])


def _order_statistics(values: Array, rank: int) -> tuple[Array, Array]:
    """The rank-th from below and from above; rank 0 is outside all of them."""
    edge = np.full(values.shape[:-1], np.inf)
    if not rank:
        return -edge, edge
    ordered = np.partition(values, (rank - 1, values.shape[-1] - rank), axis=-1)
    return ordered[..., rank - 1], ordered[..., -rank]


def _rank(cdf: Array, alpha: float) -> int:
    return int(np.searchsorted(cdf, alpha, side="right"))


@cache
def _signed_rank_cdf(n: int) -> Array:
    """P(W <= w), w = 0 ... n (n + 1) / 2: each rank is in the sum or not, with equal chances."""
    chances = np.ones(1)
    for rank in range(1, n + 1):
        chances = np.pad(chances, (0, rank)) / 2 + np.pad(chances, (rank, 0)) / 2
    return np.cumsum(chances)


@cache
def _mann_whitney_cdf(m: int, n: int) -> Array:
    """P(U <= u), u = 0 ... m n: U and the order of m + n samples, by their Gaussian binomial."""
    counts = np.zeros(m * n + 1)
    counts[0] = 1.0
    for i in range(1, m + 1):
        if n + i < len(counts):
            counts[n + i :] = counts[n + i :] - counts[: -(n + i)]
        for start in range(i):
            counts[start::i] = np.cumsum(counts[start::i])
    return np.asarray(np.cumsum(counts) / counts.sum())
