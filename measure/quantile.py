"""Quantiles of a sample with exact bounds, and none where the sample cannot carry them.

A p99 of forty requests is the maximum under another name. A quantile is therefore reported only
where its own upper bound exists: the probability that at least one sample lies above it must reach
95%, 1 - q^n >= 0.95, which asks for 5, 29, 59, 299 and 2,995 samples at p50, p90, p95, p99 and
p99.9. Bounds are order statistics whose ranks come from the binomial distribution (Conover,
Practical Nonparametric Statistics, 3rd ed., section 3.2), so they assume no shape of the
distribution.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from measure.record import TOO_FEW, Metric, not_measured

# label -> (quantile, fewest samples, kind of the metric)
PERCENTILES: dict[str, tuple[float, int, str]] = {
    "p50": (0.50, 5, "time"),
    "p90": (0.90, 29, "time"),
    "p95": (0.95, 59, "tail"),
    "p99": (0.99, 299, "tail"),
    "p999": (0.999, 2995, "tail"),
}
# Asked for by nobody who sends three hundred requests: given where it can be, and else not missed.
_RARE = ("p999",)

CONFIDENCE = 0.95
# Tukey's fences, in interquartile ranges from the quartiles (Exploratory Data Analysis, 1977).
_MILD, _SEVERE = 1.5, 3.0


def percentile_metrics(
    samples_s: Sequence[float],
    *,
    name: str = "latency",
    independent: Callable[[float], float] | None = None,
    asked_for: int | None = None,
    method: str = "perf_counter_ns",
) -> dict[str, Metric]:
    """`name`_p50, p90, p95 and p99 of durations in seconds; None with a reason on too few samples.

    `name`_p999 (p99.9) stands beside them where there are enough for it.

    Args:
        asked_for: how many there were to be at the least; p99.9 then stands beside the others
            where these are enough for it, however many more or fewer there are.
        independent: where samples depend on each other, as latencies in a queue do: how many
            independent ones they are worth for the share above a value. The bounds, and whether
            there are enough, then follow from that number.
        method: how each duration was taken.

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    ordered = _sorted_finite(samples_s)
    planned = len(ordered) if asked_for is None else asked_for
    found = {}
    for label, (_, fewest, _) in PERCENTILES.items():
        if label in _RARE and planned < fewest:
            continue
        metric = _percentile(ordered, label, independent, method)
        if label not in _RARE or asked_for is not None or metric.value is not None:
            found[f"{name}_{label}"] = metric
    return found


def median_metric(
    samples: Sequence[float], *, unit: str, better: str, kind: str, method: str
) -> Metric:
    """The median, with its exact two-sided 95% interval where six or more samples allow one.

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    ordered = _sorted_finite(samples)
    if not ordered:
        return not_measured("no samples", unit=unit, better=better, kind=kind, method=method)
    lo, hi = _bounds(ordered, 0.5, tail=(1 - CONFIDENCE) / 2)
    interval = None not in (lo, hi)
    return Metric(
        quantile(ordered, 0.5),
        unit,
        better,
        kind,
        method,
        n=len(ordered),
        lo=lo if interval else None,
        hi=hi if interval else None,
        outliers=outliers(ordered),
    )


def quantile(ordered: Sequence[float], q: float) -> float:
    """The quantile of sorted numbers by linear interpolation, numpy's default method."""
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def outliers(ordered: Sequence[float]) -> dict[str, int]:
    """How many of sorted numbers lie beyond Tukey's fences: "mild" and "severe" ones. They are
    counted and stay: a tail is made of them.
    """
    low, high = quantile(ordered, 0.25), quantile(ordered, 0.75)

    def beyond(fence: float) -> int:
        reach = fence * (high - low)
        above = len(ordered) - bisect_right(ordered, high + reach)
        return bisect_left(ordered, low - reach) + above

    severe = beyond(_SEVERE)
    return {"mild": beyond(_MILD) - severe, "severe": severe}


def bound_ranks(n: int, q: float, *, tail: float) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the samples that bound a quantile, each wrong with probability <= `tail`.

    With B ~ Binomial(n, q) counting the samples below the quantile, the l-th smallest is a lower
    bound when P(B < l) <= tail and the u-th a upper bound when P(B < u) >= 1 - tail. None where no
    sample is far enough out.
    """
    lower: int | None = None
    below = 0.0  # P(B < rank)
    # So far below its mean that B is never less: 16 standard deviations, and as much at the ends.
    first = max(1, int(n * q - 16 * math.sqrt(n * q * (1 - q)) - 64))
    for rank in range(first, n + 1):
        below += _binomial_mass(rank - 1, n, q)
        if below <= tail:
            lower = rank
        if below >= 1 - tail:
            return lower, rank
    return lower, None


def _percentile(
    ordered: Sequence[float],
    label: str,
    independent: Callable[[float], float] | None,
    taken: str,
) -> Metric:
    q, fewest, kind = PERCENTILES[label]
    method = (
        f"{taken}, linearly interpolated quantile; "
        "bounds: exact binomial order statistics, 95% on either side"
    )
    if len(ordered) < fewest:
        reason = f"{label} {TOO_FEW} {fewest} samples, there are {len(ordered)}"
        return not_measured(reason, unit="s", better="lower", kind=kind, method=method)
    value, worth = quantile(ordered, q), len(ordered)
    if independent is not None:
        worth = min(worth, int(independent(value)))
        method += f" of the {worth} independent samples that these are worth"
    if worth < fewest:
        reason = (
            f"{label} {_wants(worth)} {fewest} independent samples; these {len(ordered)} depend on"
            f" each other and are worth {worth}"
        )
        return not_measured(reason, unit="s", better="lower", kind=kind, method=method)
    lo, hi = _bounds(ordered, q, tail=1 - CONFIDENCE, worth=worth)
    beyond = outliers(ordered)
    return Metric(value, "s", "lower", kind, method, n=len(ordered), lo=lo, hi=hi, outliers=beyond)


def _wants(worth: int) -> str:
    """A queue that never empties has samples worth none: overload, and no want of them."""
    return TOO_FEW if worth else "would need"


def _bounds(
    ordered: Sequence[float], q: float, *, tail: float, worth: int | None = None
) -> tuple[float | None, float | None]:
    """The samples at the bounds' ranks; these are shares of the sample where it is worth less."""
    count = len(ordered)
    worth = count if worth is None else worth
    lower, upper = bound_ranks(worth, q, tail=tail)
    lo = None if lower is None else ordered[max(1, lower * count // worth) - 1]
    hi = None if upper is None else ordered[-(-upper * count // worth) - 1]
    return lo, hi


def _binomial_mass(count: int, n: int, q: float) -> float:
    # By logarithms: q**count underflows long before the thousands of requests of one cell.
    # scipy.stats would do, but importing it in a worker costs a second and shows in its memory.
    ways = math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1)
    return math.exp(ways + count * math.log(q) + (n - count) * math.log1p(-q))


def _sorted_finite(samples: Sequence[float]) -> list[float]:
    ordered = [float(sample) for sample in samples]
    for sample in ordered:
        if not math.isfinite(sample):
            raise ValueError(f"a sample is {sample}: only finite numbers can be ranked")
    return sorted(ordered)
