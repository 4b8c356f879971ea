"""Over all cells: screen, confirm the candidates with fresh pairs, and say what to measure next.

Pure functions of the pairs so far, so that a runner may stop, go on and ask again at any time:
`needed` says which cells want how many more pairs, `judge` what can be said now. The screen's pairs
choose the candidates and are not used again, so that the choice can't bias the verdict; the chance
of one false alarm among all candidates is kept by Holm's method.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from report.hodges_lehmann import bounds, holm, p_above, pairs_needed
from report.judge import (
    ALPHA,
    EXACT,
    base_of,
    judge_accuracy,
    judge_exact,
    judge_pairs,
    judge_rounds,
    ratios,
    smallest,
)
from report.margins import Margins, Policy
from report.verdict import Comparison, PairedMetric, Verdict

SCREEN_PAIRS, SCREEN_ALPHA = 5, 0.05
CONFIRM_PAIRS = 10
MORE_PAIRS = 5
MOST_SCREEN_PAIRS, MOST_CONFIRM_PAIRS = 10, 20


@dataclass(frozen=True)
class Need:
    """What a cell wants next: so many more pairs, for its screen or its confirmation."""

    cell_id: str
    stage: str
    pairs: int


def judge(metrics: Sequence[PairedMetric], margins: Margins) -> list[Comparison]:
    """A verdict on every metric that is judged, from the pairs so far."""
    judged = [metric for metric in join_seeds(metrics) if _policy(metric, margins).gate != "off"]
    candidates = [metric for metric in judged if is_candidate(metric, margins)]
    family = {metric.key for metric in candidates}
    rejected = _rejected(candidates, margins)
    return [
        _judge_candidate(metric, margins, len(family), rejected)
        if metric.key in family
        else judge_one(metric, margins)
        for metric in judged
    ]


def judge_one(metric: PairedMetric, margins: Margins) -> Comparison:
    """One metric on its own: exact, by seeds, by rounds, or by the pairs of the screen."""
    policy = _policy(metric, margins)
    if metric.kind in EXACT:
        return judge_exact(metric, policy)
    if metric.kind == "accuracy":
        return judge_accuracy(metric, policy)
    if metric.one_process:
        return judge_rounds(metric, policy, margins)
    return judge_pairs(metric, policy, margins, "screen", SCREEN_ALPHA)


def is_candidate(metric: PairedMetric, margins: Margins) -> bool:
    """Whether the screen shows a sign of a change, for fresh pairs to confirm or dismiss."""
    if not _of_blocks(metric) or len(metric.screen) < SCREEN_PAIRS:
        return False
    policy, found = _policy(metric, margins), ratios(metric, metric.screen)
    if len(found) < SCREEN_PAIRS or _not_measurable(metric, margins):
        return False
    r = np.asarray(found)
    margin = smallest(policy, base_of(metric, metric.screen), margins.half_width(*metric.key))
    low, high = bounds(r, SCREEN_ALPHA)
    slower = np.median(r) > margin / 2 or low > 0
    faster = np.median(r) < -margin / 2 and high < 0
    return bool(slower or faster)


def needed(metrics: Sequence[PairedMetric], margins: Margins) -> list[Need]:
    """What to measure next, the most urgent first; empty when nothing more would help.

    All cells are screened, candidates confirmed, undecided candidates given more pairs, and last
    undecided others. Of one cell's metrics the hungriest decides: a block measures all of them.
    A cell that no metric is of yet is not known here; it wants its first pair.
    """
    paired = [metric for metric in metrics if _wants_pairs(metric, margins)]
    count = sum(is_candidate(metric, margins) for metric in paired)
    wants: dict[tuple[int, str, str], int] = {}
    for metric in paired:
        rank, stage, pairs = _want(metric, margins, count)
        if pairs:
            key = (rank, metric.cell_id, stage)
            wants[key] = max(wants.get(key, 0), pairs)
    first = sorted(wants, key=lambda key: key[0])
    return [Need(cell_id, stage, wants[rank, cell_id, stage]) for rank, cell_id, stage in first]


def confirmations(candidates: int) -> int:
    """Fresh pairs for each of so many candidates: enough for Holm's method to decide all."""
    return max(CONFIRM_PAIRS, pairs_needed(ALPHA, candidates))


def join_seeds(metrics: Sequence[PairedMetric]) -> list[PairedMetric]:
    """Accuracies of one cell with several seeds become one metric whose pairs are the seeds.

    A seed measured in several blocks counts once: the same seed again is not a new sample.
    """
    joined: dict[tuple[str, str], list[PairedMetric]] = {}
    for metric in metrics:
        cell = re.sub(r"-s\d+$", "", metric.cell_id) if metric.kind == "accuracy" else None
        joined.setdefault((cell or metric.cell_id, metric.metric), []).append(metric)
    return [_join(cell, group) for (cell, _), group in joined.items()]


def _join(cell: str, group: list[PairedMetric]) -> PairedMetric:
    first = group[0]
    if first.kind != "accuracy":
        return first
    once = tuple(metric.screen[0] for metric in group if metric.screen)
    return replace(first, cell_id=first.cell_id if len(group) == 1 else cell, screen=once)


def _policy(metric: PairedMetric, margins: Margins) -> Policy:
    return margins.policy(metric.cell_id, metric.metric, metric.kind)


def _not_measurable(metric: PairedMetric, margins: Margins) -> bool:
    return judge_one(metric, margins).verdict is Verdict.NOT_MEASURABLE


def _rejected(
    candidates: Sequence[PairedMetric], margins: Margins
) -> dict[tuple[str, str], tuple[bool, bool]]:
    """Of each candidate: whether "not slower" and "not faster" by the margin fall, by Holm."""
    slower, faster = [], []
    for metric in candidates:
        r = np.asarray(ratios(metric, metric.confirm))
        if not len(r):
            slower.append(1.0)
            faster.append(1.0)
            continue
        policy = _policy(metric, margins)
        margin = smallest(policy, base_of(metric, metric.confirm), margins.half_width(*metric.key))
        slower.append(float(p_above(r, margin)))
        faster.append(float(p_above(-r, margin)))
    sides = zip(holm(slower, ALPHA), holm(faster, ALPHA), strict=True)
    return {metric.key: side for metric, side in zip(candidates, sides, strict=True)}


def _judge_candidate(
    metric: PairedMetric,
    margins: Margins,
    family: int,
    rejected: dict[tuple[str, str], tuple[bool, bool]],
) -> Comparison:
    if not ratios(metric, metric.confirm):
        made = judge_pairs(metric, _policy(metric, margins), margins, "screen", SCREEN_ALPHA)
        reason = "the screen shows a change; no fresh pairs have confirmed it"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    made = judge_pairs(metric, _policy(metric, margins), margins, "confirm", ALPHA)
    slower, faster = rejected[metric.key]
    red, green = made.verdict is Verdict.REGRESSED, made.verdict is Verdict.IMPROVED
    if (red and not slower) or (green and not faster):
        reason = f"not yet certain among {family} candidates (Holm); more pairs are needed"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return replace(made, reason=f"{made.reason}; {family} candidates, Holm") if red else made


def _of_blocks(metric: PairedMetric) -> bool:
    return metric.kind not in (*EXACT, "accuracy") and not metric.one_process


def _wants_pairs(metric: PairedMetric, margins: Margins) -> bool:
    return _of_blocks(metric) and _policy(metric, margins).gate != "off"


def _want(metric: PairedMetric, margins: Margins, candidates: int) -> tuple[int, str, int]:
    """(urgency, stage, pairs) of one metric; 0 pairs where it wants none."""
    screened, confirmed = len(metric.screen), len(metric.confirm)
    if screened < SCREEN_PAIRS:
        return 0, "screen", SCREEN_PAIRS - screened
    if not ratios(metric, metric.screen):
        return 0, "screen", 0
    if is_candidate(metric, margins):
        if confirmed < confirmations(candidates):
            return 1, "confirm", confirmations(candidates) - confirmed
        verdict = _judge_alone(metric, margins, candidates)
        room = max(MOST_CONFIRM_PAIRS, confirmations(candidates)) - confirmed
        wants = verdict is Verdict.INCONCLUSIVE and room > 0
        return 2, "confirm", min(MORE_PAIRS, room) if wants else 0
    wants = judge_one(metric, margins).verdict is Verdict.INCONCLUSIVE
    room = MOST_SCREEN_PAIRS - screened
    return 3, "screen", min(MORE_PAIRS, room) if wants and room > 0 else 0


def _judge_alone(metric: PairedMetric, margins: Margins, candidates: int) -> Verdict:
    """The verdict of a candidate at the strictest step of Holm's method."""
    policy = _policy(metric, margins)
    return judge_pairs(metric, policy, margins, "confirm", ALPHA / candidates).verdict
