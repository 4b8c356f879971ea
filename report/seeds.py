"""Accuracy: seeds are its pairs, and more of them decide where a few do not.

A seed gives the same numbers again, so that it counts once. The margin is 0.005 or, where
that is more, twice the spread of the base's seeds: less than seeds differ by is no loss. In a
comparison in turn the suite's seeds are judged first, each bound at half of alpha; where they do
not decide, both sides learn with further seeds until there are ten, which are judged at the other
half.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Sequence
from dataclasses import replace
from statistics import stdev

from scipy.special import ndtri

from report.hodges_lehmann import Interval, mean_difference
from report.judge import ALPHA, verdict_of
from report.margins import Policy
from report.status import absent
from report.verdict import UNDECIDED, Comparison, Pair, PairedMetric

MOST_SEEDS = 10
# Twice as many, since a seed that fails gives its place to another.
TRIED_SEEDS = range(2 * MOST_SEEDS)
# Twice the spread of seeds that small data show, as a share of the value; for a single seed.
ONE_SEED = 0.25
SEED = re.compile(r"-s(\d+)$")  # at the end of a cell's id


def judge_accuracy(metric: PairedMetric, policy: Policy) -> Comparison:
    """By the suite's seeds, and by all of them once there are ten."""
    first = [pair for pair in metric.screen if pair.base is not None and pair.head is not None]
    whole = [*first, *(p for p in metric.confirm if p.base is not None and p.head is not None)]
    if not whole:
        return absent(metric, policy)
    one_look = metric.one_process or len(first) >= MOST_SEEDS
    made = _look(metric, policy, first or whole, ALPHA if one_look else ALPHA / 2)
    if made.verdict in UNDECIDED and len(first) < len(whole) >= MOST_SEEDS:
        return _look(metric, policy, whole[:MOST_SEEDS], ALPHA / 2)
    return made


def more_seeds(
    metric: PairedMetric, policy: Policy, tried: Container[str] = frozenset()
) -> list[str]:
    """The cells whose seeds would decide an accuracy of a comparison in turn; none where it is
    decided, and where ten seeds have not.

    Args:
        tried: cells that were measured, whatever came of it: another seed takes a failed one's
            place.
    """
    taken = {pair.seed for pair in (*metric.screen, *metric.confirm)}
    wanted = MOST_SEEDS - len(metric.screen) - len(metric.confirm)
    if metric.one_process or None in taken or wanted <= 0 or policy.gate != "hard":
        return []
    if not metric.screen or judge_accuracy(metric, policy).verdict not in UNDECIDED:
        return []
    cell = SEED.sub("", metric.cell_id)
    free = [f"{cell}-s{seed}" for seed in TRIED_SEEDS if seed not in taken]
    return [name for name in free if name not in tried][:wanted]


def join_seeds(metrics: Sequence[PairedMetric]) -> list[PairedMetric]:
    """Accuracies of one cell with several seeds become one metric whose pairs are the seeds.

    A seed measured in several blocks counts once: the same seed again is not a new sample.
    """
    joined: dict[tuple[str, str], list[PairedMetric]] = {}
    for metric in metrics:
        cell = SEED.sub("", metric.cell_id) if metric.kind == "accuracy" else None
        joined.setdefault((cell or metric.cell_id, metric.metric), []).append(metric)
    return [_join(cell, group) for (cell, _), group in joined.items()]


def _join(cell: str, group: list[PairedMetric]) -> PairedMetric:
    first = group[0]
    if first.kind != "accuracy":
        return first
    once = tuple(metric.screen[0] for metric in group if metric.screen)
    more = tuple(metric.confirm[0] for metric in group if metric.confirm and not metric.screen)
    name = first.cell_id if len(group) == 1 else cell
    lost = next((metric.lost for metric in group if metric.lost), "")
    return replace(first, cell_id=name, screen=once, confirm=more, lost=lost)


def _look(metric: PairedMetric, policy: Policy, found: Sequence[Pair], alpha: float) -> Comparison:
    """Non-inferiority over these seeds; with one seed a side, over users with a wide margin."""
    pairs = tuple(found)
    sign = -1 if metric.better == "higher" else 1
    base = [pair.base for pair in pairs if pair.base is not None]
    worse = [sign * (p.head - p.base) for p in pairs if p.head is not None and p.base is not None]
    if not any(worse):
        interval = Interval(0.0, 0.0, 0.0, alpha, f"equal in {len(pairs)} seeds")
        margin, stage = policy.margin, "seeds"
    elif len(pairs) > 1:
        interval = mean_difference(worse, alpha)
        margin, stage = max(policy.margin, 2 * stdev(base)), "seeds"
    else:
        interval = _over_users(metric, worse[0], pairs[0], alpha)
        margin, stage = max(policy.margin, ONE_SEED * abs(base[0])), "one seed a side"
    return verdict_of(metric, policy, interval, margin, stage, pairs=pairs, absolute=True)


def _over_users(metric: PairedMetric, worse: float, pair: Pair, alpha: float) -> Interval:
    """Shares and means in [0, 1] have at most a share's variance; users are the samples."""
    sides = ((pair.base, metric.base_users), (pair.head, metric.head_users))
    error = 0.0
    for value, users in sides:
        if value is None or not 0 <= value <= 1 or not users:
            return Interval(worse, -math.inf, math.inf, alpha, "one seed a side")
        error += value * (1 - value) / users
    reach = float(ndtri(1 - alpha)) * math.sqrt(error)
    return Interval(worse, worse - reach, worse + reach, alpha, "one seed a side, over users")
