"""Over all cells: screen, confirm the candidates with fresh pairs, and say what to measure next.

Pure functions of the pairs so far, so that a runner may stop, go on and ask again at any time:
`needed` says which cells want how many more pairs, `judge` what can be said now. The screen's pairs
choose the candidates and are not used again, so that the choice can't bias the verdict; the chance
of one false alarm among all candidates is kept by Holm's method. What was decided stays decided:
candidates are chosen by the first pairs of the screen only, and each verdict is taken at a look
(report/looks.py) that later pairs don't change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from report.hodges_lehmann import bounds, holm, p_above
from report.judge import (
    EXACT,
    base_of,
    judge_accuracy,
    judge_exact,
    judge_pairs,
    judge_rounds,
    ratios,
    smallest,
    too_noisy,
)
from report.looks import (
    MOST_SCREEN_PAIRS,
    SCREEN_ALPHA,
    SCREEN_LOOKS,
    SCREEN_PAIRS,
    Look,
    confirm_looks,
    lacking,
    pairs_at,
)
from report.margins import Margins, Policy
from report.verdict import UNDECIDED, Comparison, PairedMetric, Verdict

# Of each candidate: whether "not slower" and "not faster" by the margin fall, by Holm.
Rejected = dict[tuple[str, str], tuple[bool, bool]]


@dataclass(frozen=True)
class Need:
    """What a cell wants next: so many more pairs, for its screen or its confirmation."""

    cell_id: str
    stage: str
    pairs: int


def judge(metrics: Sequence[PairedMetric], margins: Margins) -> list[Comparison]:
    """A verdict on every metric that is judged and has a number, from the pairs so far."""
    judged = [
        metric
        for metric in join_seeds(metrics)
        if _policy(metric, margins).gate != "off" and _has_number(metric)
    ]
    rejected = _rejected(judged, margins)
    return [
        _judge_candidate(metric, margins, rejected)
        if metric.key in rejected
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
    made = judge_pairs(metric, policy, margins, "screen", SCREEN_LOOKS[0])
    for look in SCREEN_LOOKS[1:]:
        if made.verdict is not Verdict.UNCHANGED and pairs_at(metric, metric.screen, look.count):
            made = judge_pairs(metric, policy, margins, "screen", look)
    if made.verdict in (Verdict.REGRESSED, Verdict.IMPROVED):
        reason = "the screen shows a change; no fresh pairs have confirmed it"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return made


def is_candidate(metric: PairedMetric, margins: Margins) -> bool:
    """Whether the screen's first pairs show a sign of a change, for fresh ones to confirm or not.

    More pairs of the screen never change it: what was confirmed can't be taken back.
    """
    pairs = pairs_at(metric, metric.screen, SCREEN_PAIRS) if _of_blocks(metric) else None
    if pairs is None:
        return False
    policy, half_width = _policy(metric, margins), margins.half_width(*metric.key)
    base = base_of(metric, pairs)
    if too_noisy(policy, half_width, base):
        return False
    r = np.asarray(ratios(metric, pairs))
    margin = smallest(policy, base, half_width)
    low, high = bounds(r, SCREEN_ALPHA)
    slower = np.median(r) > margin / 2 or low > 0
    faster = np.median(r) < -margin / 2 and high < 0
    return bool(slower or faster)


def needed(metrics: Sequence[PairedMetric], margins: Margins) -> list[Need]:
    """What to measure next, the most urgent first; empty when nothing more would help.

    All cells are screened, candidates confirmed, undecided candidates given more pairs, and last
    undecided others, each up to its next look. Of one cell's metrics the hungriest decides: a block
    measures all of them. A cell that no metric is of yet is not known here; it wants its first
    pair.
    """
    paired = [metric for metric in metrics if _wants_pairs(metric, margins)]
    rejected = _rejected(paired, margins)
    wants: dict[tuple[int, str, str], int] = {}
    for metric in paired:
        rank, stage, pairs = _want(metric, margins, rejected)
        if pairs:
            key = (rank, metric.cell_id, stage)
            wants[key] = max(wants.get(key, 0), pairs)
    first = sorted(wants, key=lambda key: key[0])
    return [Need(cell_id, stage, wants[rank, cell_id, stage]) for rank, cell_id, stage in first]


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


def _rejected(metrics: Sequence[PairedMetric], margins: Margins) -> Rejected:
    """The candidates among these, and what falls; a look's alpha is shared among them by Holm."""
    candidates = [metric for metric in metrics if is_candidate(metric, margins)]
    looks = confirm_looks(len(candidates))
    # The smallest p of all looks, as a multiple of its look's alpha: 1 is just enough.
    slower = [min(_shares(metric, margins, looks, 1)) for metric in candidates]
    faster = [min(_shares(metric, margins, looks, -1)) for metric in candidates]
    sides = zip(holm(slower, 1.0), holm(faster, 1.0), strict=True)
    return {metric.key: side for metric, side in zip(candidates, sides, strict=True)}


def _shares(
    metric: PairedMetric, margins: Margins, looks: Sequence[Look], sign: int
) -> Iterator[float]:
    """p / alpha of "by no more than the margin", sign * r being worse, at each look so far."""
    yield math.inf
    for look in looks:
        pairs = pairs_at(metric, metric.confirm, look.count)
        if pairs is not None:
            base, half_width = base_of(metric, pairs), margins.half_width(*metric.key)
            margin = smallest(_policy(metric, margins), base, half_width)
            r = sign * np.asarray(ratios(metric, pairs))
            yield float(p_above(r, margin)) / look.alpha


def _judge_candidate(metric: PairedMetric, margins: Margins, rejected: Rejected) -> Comparison:
    """The first look that decides, else the last one that there are pairs for."""
    policy, looks = _policy(metric, margins), confirm_looks(len(rejected))
    if not ratios(metric, metric.confirm):
        made = judge_pairs(metric, policy, margins, "screen", SCREEN_LOOKS[0])
        reason = "the screen shows a change; no fresh pairs have confirmed it"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    made = _at_look(metric, margins, looks[0], rejected)
    for look in looks[1:]:
        undecided = made.verdict in UNDECIDED
        if undecided and pairs_at(metric, metric.confirm, look.count) is not None:
            made = _at_look(metric, margins, look, rejected)
    return made


def _at_look(metric: PairedMetric, margins: Margins, look: Look, rejected: Rejected) -> Comparison:
    made = judge_pairs(metric, _policy(metric, margins), margins, "confirm", look)
    slower, faster = rejected[metric.key]
    red, green = made.verdict is Verdict.REGRESSED, made.verdict is Verdict.IMPROVED
    if (red and not slower) or (green and not faster):
        reason = f"not yet certain among {len(rejected)} candidates (Holm); more pairs are needed"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return replace(made, reason=f"{made.reason}; {len(rejected)} candidates, Holm") if red else made


def _has_number(metric: PairedMetric) -> bool:
    pairs = (*metric.screen, *metric.confirm)
    return any(pair.base is not None or pair.head is not None for pair in pairs)


def _of_blocks(metric: PairedMetric) -> bool:
    return metric.kind not in (*EXACT, "accuracy") and not metric.one_process


def _wants_pairs(metric: PairedMetric, margins: Margins) -> bool:
    return _of_blocks(metric) and _policy(metric, margins).gate != "off"


def _want(metric: PairedMetric, margins: Margins, rejected: Rejected) -> tuple[int, str, int]:
    """(urgency, stage, pairs) of one metric; 0 pairs where it wants none."""
    screened = metric.screen
    if len(screened) < SCREEN_PAIRS:
        return 0, "screen", SCREEN_PAIRS - len(screened)
    if not ratios(metric, screened) or _is_too_noisy(metric, margins):
        return 0, "screen", 0
    # Too many were disturbed: quiet ones first, so that all candidates are known when one is
    # confirmed.
    if quiet := lacking(metric, screened, SCREEN_PAIRS, MOST_SCREEN_PAIRS):
        return 0, "screen", quiet
    if metric.key in rejected:
        if _judge_candidate(metric, margins, rejected).verdict not in UNDECIDED:
            return 2, "confirm", 0
        looks = confirm_looks(len(rejected))
        wants = [lacking(metric, metric.confirm, at.count, looks[-1].count) for at in looks]
        place = next((place for place, pairs in enumerate(wants) if pairs), 0)
        return min(place, 1) + 1, "confirm", wants[place]
    if judge_one(metric, margins).verdict not in UNDECIDED:
        return 3, "screen", 0
    return 3, "screen", lacking(metric, screened, SCREEN_LOOKS[-1].count, MOST_SCREEN_PAIRS)


def _is_too_noisy(metric: PairedMetric, margins: Margins) -> bool:
    base, half_width = base_of(metric, metric.screen), margins.half_width(*metric.key)
    return bool(too_noisy(_policy(metric, margins), half_width, base))
