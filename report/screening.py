"""Over all cells: screen, and confirm the candidates with fresh pairs.

Pure functions of the pairs so far, so that a runner may stop, go on and ask again at any time:
`judge` says what can be said now (report/needs.py: what to measure next). The screen's pairs
choose the candidates and are not used again, so that the choice can't bias the verdict; the chance
of one false alarm among all candidates is kept by Holm's method. What was decided stays decided:
candidates are chosen by the first pairs of the screen only, and each verdict is taken at a look
(report/looks.py) that later pairs don't change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from report.hodges_lehmann import bounds, holm, p_above
from report.judge import EXACT, judge_exact, judge_pairs, judge_rounds, ratios
from report.looks import SCREEN_ALPHA, SCREEN_LOOKS, SCREEN_PAIRS, Look, confirm_looks, pairs_at
from report.margins import Margins, Policy
from report.seeds import join_seeds, judge_accuracy
from report.status import lost
from report.threshold import smallest, too_noisy
from report.verdict import UNDECIDED, Comparison, PairedMetric, Verdict

# Of each candidate: whether "not slower" and "not faster" by the margin fall, by Holm.
Rejected = dict[tuple[str, str], tuple[bool, bool]]


def judge(metrics: Sequence[PairedMetric], margins: Margins) -> list[Comparison]:
    """A verdict on every metric that is judged and has a number, from the pairs so far."""
    judged = [
        metric
        for metric in join_seeds(metrics)
        if policy_of(metric, margins).gate != "off" and _has_number(metric)
    ]
    gone = {metric.key: lost(metric, policy_of(metric, margins)) for metric in judged}
    found = [made for made in gone.values() if made is not None]
    judged = [metric for metric in judged if gone[metric.key] is None]
    rejected = rejections(judged, margins)
    return found + [
        judge_candidate(metric, margins, rejected)
        if metric.key in rejected
        else judge_one(metric, margins)
        for metric in judged
    ]


def judge_one(metric: PairedMetric, margins: Margins) -> Comparison:
    """One metric on its own: exact, by seeds, by rounds, or by the pairs of the screen."""
    policy = policy_of(metric, margins)
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
    return suspicion(metric, margins) != 0


def suspicion(metric: PairedMetric, margins: Margins) -> int:
    """1 where the screen's first pairs show it worse, -1 where better, 0 where neither."""
    pairs = pairs_at(metric, metric.screen, SCREEN_PAIRS) if is_of_blocks(metric) else None
    if pairs is None:
        return 0
    policy = policy_of(metric, margins)
    if too_noisy(metric, pairs, policy, margins):
        return 0
    r = np.asarray(ratios(metric, pairs))
    margin = smallest(metric, pairs, policy, margins)
    low, high = bounds(r, SCREEN_ALPHA)
    if np.median(r) > margin / 2 or low > 0:
        return 1
    return -1 if np.median(r) < -margin / 2 and high < 0 else 0


def policy_of(metric: PairedMetric, margins: Margins) -> Policy:
    """Its margin, floor and gate."""
    return margins.policy(metric.cell_id, metric.metric, metric.kind)


def rejections(metrics: Sequence[PairedMetric], margins: Margins) -> Rejected:
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
            margin = smallest(metric, pairs, policy_of(metric, margins), margins)
            r = sign * np.asarray(ratios(metric, pairs))
            yield float(p_above(r, margin)) / look.alpha


def judge_candidate(metric: PairedMetric, margins: Margins, rejected: Rejected) -> Comparison:
    """The first look that decides, else the last one that there are pairs for."""
    policy, looks = policy_of(metric, margins), confirm_looks(len(rejected))
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
    made = judge_pairs(metric, policy_of(metric, margins), margins, "confirm", look)
    slower, faster = rejected[metric.key]
    red, green = made.verdict is Verdict.REGRESSED, made.verdict is Verdict.IMPROVED
    if (red and not slower) or (green and not faster):
        reason = f"not yet certain among {len(rejected)} candidates (Holm); more pairs are needed"
        return replace(made, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return replace(made, reason=f"{made.reason}; {len(rejected)} candidates, Holm") if red else made


def _has_number(metric: PairedMetric) -> bool:
    pairs = (*metric.screen, *metric.confirm)
    return any(pair.base is not None or pair.head is not None for pair in pairs)


def is_of_blocks(metric: PairedMetric) -> bool:
    """Whether pairs of blocks decide it."""
    return metric.kind not in (*EXACT, "accuracy") and not metric.one_process
