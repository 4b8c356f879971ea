"""One metric of one cell: from its pairs to a verdict, by its kind.

Exact kinds are compared; time, memory and energy are paired by block (accuracy, by seed, is in
report/seeds.py). r = ln(head / base), + is worse. A verdict needs bounds, never only an estimate:
REGRESSED where the lower one lies above the margin, UNCHANGED where both lie within, else
INCONCLUSIVE. The margin is the policy's, its absolute floor, or twice the noise of equal code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from measure.record import DISTURBING
from report.hodges_lehmann import Interval, paired, unpaired
from report.looks import Look, disturbed, pairs_at
from report.margins import UNKNOWN_NOISE, Margins, Policy
from report.status import absent, compare
from report.threshold import (
    allowed,
    floor_of,
    fraction,
    least_of,
    seconds_or_bytes,
    smallest,
    too_noisy,
)
from report.verdict import Comparison, Pair, PairedMetric, Verdict

ALPHA = 0.01
EXACT = ("deterministic", "capacity", "correctness", "derived")
# Kinds that depend on the machine; across fingerprints they are not compared.
OF_THE_MACHINE = ("time", "tail", "memory_physical", "energy")


def judge_exact(metric: PairedMetric, policy: Policy) -> Comparison:
    """Counted, so that any difference is real: compared as it is, ranges where a count varies."""
    bases = [pair.base for pair in metric.screen if pair.base is not None]
    heads = [pair.head for pair in metric.screen if pair.head is not None]
    if not bases or not heads:
        return absent(metric, policy)
    constant = len(set(bases)) == len(set(heads)) == 1
    seen = (
        f"{len(set(bases))} and {len(set(heads))} different values in {len(metric.screen)} blocks"
    )
    if not (constant or _gap(bases, heads) > policy.margin):
        return compare(metric, policy, Verdict.INCONCLUSIVE, f"not a constant: {seen}", "exact")
    base, head = median(bases), median(heads)
    change = _relative(base, head)
    if head == base or abs(change) <= policy.margin:
        verdict, reason = Verdict.UNCHANGED, "equal" if head == base else "within the margin"
    elif metric.better == "none":
        verdict, reason = Verdict.NOT_COMPARABLE, "a fact that differs, neither better nor worse"
    else:
        worse = (head > base) == (metric.better == "lower")
        verdict = Verdict.REGRESSED if worse else Verdict.IMPROVED
        reason = "counted exactly: any difference is real"
        reason = reason if constant else f"not a constant, but the ranges lie apart: {seen}"
    made = compare(metric, policy, verdict, reason, "exact", margin=policy.margin)
    finite = change if math.isfinite(change) else None
    return replace(made, change=finite, low=finite, high=finite, method="exact")


def judge_rounds(metric: PairedMetric, policy: Policy, margins: Margins) -> Comparison:
    """One process a side: its rounds are the samples, the machine's noise floor is the margin."""
    stage = "one process a side"
    pair = metric.screen[0]
    if pair.base is None or pair.head is None:
        return absent(metric, policy)
    if metric.kind != "memory_physical" and set(pair.flags) & set(DISTURBING):
        reason = f"measured while {' and '.join(sorted(set(pair.flags) & set(DISTURBING)))}"
        return not_measurable(metric, metric.screen, policy, reason, stage)
    if pair.base == pair.head and metric.base_rounds == metric.head_rounds:
        again = "the very same number, to the last digit"
        return compare(metric, policy, Verdict.UNCHANGED, again, stage)
    small = allowed(metric, metric.screen, policy)
    apart = margins.between_files(*metric.key)
    known = math.log1p(UNKNOWN_NOISE) if apart is None else 2 * apart
    margin = max(small, known)
    interval = _of_one_process(metric, log_ratio(metric, pair), known)
    made = verdict_of(metric, policy, interval, margin, stage)
    rounds = len(metric.base_rounds), len(metric.head_rounds)
    made = replace(made, rounds=rounds if all(rounds) else None)
    # Other processes of the same code differ too: equality needs the policy's own margin.
    alike = -small < interval.low and interval.high < small
    counted = metric.kind == "memory_physical" and abs(interval.estimate) < small
    if made.verdict is Verdict.UNCHANGED and not alike:
        reason = "within this machine's noise floor; pairs of processes decide"
        made = replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    elif made.verdict is Verdict.INCONCLUSIVE and counted:
        made = replace(made, verdict=Verdict.UNCHANGED, reason="the peaks are within the margin")
    return made


def judge_pairs(
    metric: PairedMetric, policy: Policy, margins: Margins, stage: str, look: Look
) -> Comparison:
    """Blocks of both sides in turn, a fresh process each: a look at those of "screen" or "confirm".

    A verdict rests on `look.count` pairs (see report/looks.py); with fewer there is none yet.
    """
    pairs = metric.confirm if stage == "confirm" else metric.screen
    if not ratios(metric, pairs):
        return absent(metric, policy)
    unusable = too_noisy(metric, pairs, policy, margins)
    used = pairs_at(metric, pairs, look.count)
    if used is None and not unusable:
        unusable = _disturbed_words(metric, pairs, look.count)
    if unusable:
        return not_measurable(metric, pairs, policy, unusable, stage)
    shown = pairs if used is None else used
    margin = smallest(metric, shown, policy, margins)
    interval = paired(ratios(metric, shown), look.alpha)
    made = verdict_of(metric, policy, interval, margin, stage, pairs=shown)
    if used is None:
        reason = f"{len(pairs)} of {look.count} pairs so far"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    if disturbed(metric, pairs[: look.count]) and not disturbed(metric, used):
        left_out = f"{disturbed(metric, pairs)} contended or throttled pairs left out"
        return replace(made, reason=f"{made.reason}; {left_out}")
    return made


def log_ratio(metric: PairedMetric, pair: Pair) -> float:
    """ln(head / base), + for worse; rates are turned over."""
    assert pair.base is not None, "a pair without its base"
    assert pair.head is not None, "a pair without its head"
    if pair.by_turns is not None:
        ratio = math.log(pair.by_turns)
    else:
        ratio = log_of(pair.head, metric.unit) - log_of(pair.base, metric.unit)
    return -ratio if metric.better == "higher" else ratio


def log_of(value: float, unit: str) -> float:
    """ln of a measured value; of a 0 that of what stands for it."""
    return math.log(max(value, least_of(unit)))


def ratios(metric: PairedMetric, pairs: Sequence[Pair]) -> list[float]:
    """Of all pairs that have both numbers, in the order measured."""
    whole = [pair for pair in pairs if pair.base is not None and pair.head is not None]
    return [log_ratio(metric, pair) for pair in whole]


def not_measurable(
    metric: PairedMetric, pairs: tuple[Pair, ...], policy: Policy, reason: str, stage: str
) -> Comparison:
    """NOT_MEASURABLE, with the change as far as it is known, without bounds."""
    made = compare(metric, policy, Verdict.NOT_MEASURABLE, reason, stage, pairs=pairs)
    sign = -1 if metric.better == "higher" else 1
    return replace(made, change=fraction(sign * median(ratios(metric, pairs))))


def _disturbed_words(metric: PairedMetric, pairs: Sequence[Pair], count: int) -> str:
    """Why there are pairs enough and yet no `count` of them to judge by, or ""."""
    flagged = disturbed(metric, pairs)
    if len(pairs) < count or not flagged:
        return ""
    return f"{flagged} of {len(pairs)} pairs contended or throttled; {count} quiet ones decide"


def _relative(base: float, head: float) -> float:
    """head / base - 1; from 0 any step is infinite."""
    if base:
        return head / base - 1
    return 0.0 if head == base else math.copysign(math.inf, head)


def _gap(bases: Sequence[float], heads: Sequence[float]) -> float:
    """How far two ranges lie apart, as a share of the base's end of the gap; -inf: not at all."""
    if bases and heads and min(heads) > max(bases):
        return abs(_relative(max(bases), min(heads)))
    if bases and heads and max(heads) < min(bases):
        return abs(_relative(min(bases), max(heads)))
    return -math.inf


def _of_one_process(metric: PairedMetric, ratio: float, noise: float) -> Interval:
    """From rounds, else from the instrument's bounds, else from the noise floor or not at all."""
    sign = -1 if metric.better == "higher" else 1
    least = least_of(metric.unit)
    if metric.base_rounds and metric.head_rounds:
        sides = (metric.base_rounds, metric.head_rounds)
        base, head = (sign * np.log(np.maximum(np.asarray(side), least)) for side in sides)
        return unpaired(base.tolist(), head.tolist(), ALPHA)
    if metric.bounds is not None:
        logs = [sign * math.log(max(bound, least)) for bound in metric.bounds]
        base, head = sorted(logs[:2]), sorted(logs[2:])
        method = "the instrument's own bounds of both sides"
        return Interval(ratio, head[0] - base[1], head[1] - base[0], ALPHA, method)
    if metric.kind == "memory_physical":
        method = "one number a side, the noise floor around it"
        return Interval(ratio, ratio - noise, ratio + noise, ALPHA, method)
    return Interval(ratio, -math.inf, math.inf, ALPHA, "one number a side")


def verdict_of(
    metric: PairedMetric,
    policy: Policy,
    interval: Interval,
    margin: float,
    stage: str,
    *,
    pairs: tuple[Pair, ...] | None = None,
    absolute: bool = False,
) -> Comparison:
    """The verdict of an interval, which is in log ratios or, where absolute, differences."""
    verdict, reason = _of_interval(interval, margin)
    made = compare(metric, policy, verdict, reason, stage, pairs=pairs)
    of_floor = not absolute and 0 < floor_of(metric, made.pairs, policy) >= margin
    sign = -1 if metric.better == "higher" else 1
    ends = [sign * end + 0.0 for end in (interval.estimate, interval.low, interval.high)]
    shown = [end if absolute else fraction(end) for end in (ends[0], min(ends), max(ends))]
    known = [math.isfinite(end) for end in (ends[0], min(ends), max(ends))]
    change, low, high = (end if at else None for end, at in zip(shown, known, strict=True))
    return replace(
        made,
        change=change,
        low=low,
        high=high,
        alpha=interval.alpha,
        margin=margin if absolute else fraction(margin),
        absolute=absolute,
        floor=seconds_or_bytes(made.pairs, policy) if of_floor else None,
        method=interval.method,
    )


def _of_interval(interval: Interval, margin: float) -> tuple[Verdict, str]:
    if interval.low > margin:
        return Verdict.REGRESSED, "the lower bound lies above the margin"
    if interval.high < -margin:
        return Verdict.IMPROVED, "the upper bound lies below the margin"
    if -margin < interval.low and interval.high < margin:
        return Verdict.UNCHANGED, "both bounds lie within the margin"
    if math.isinf(interval.low):
        return Verdict.INCONCLUSIVE, f"no bound at {interval.alpha * 100:g}%: {interval.method}"
    return Verdict.INCONCLUSIVE, "the bounds reach across the margin"
