"""What to measure next, and what was still wanting when the time was over.

Pure functions of the pairs so far, as report/screening.py, which says what they show.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from report.judge import ratios
from report.looks import MOST_SCREEN_PAIRS, SCREEN_LOOKS, SCREEN_PAIRS, confirm_looks, lacking
from report.margins import Margins
from report.screening import (
    Rejected,
    is_of_blocks,
    judge_candidate,
    judge_one,
    policy_of,
    rejections,
    suspicion,
)
from report.seeds import MOST_SEEDS, join_seeds, more_seeds
from report.threshold import too_noisy
from report.verdict import UNDECIDED, Comparison, PairedMetric


@dataclass(frozen=True)
class Need:
    """What a cell wants next: so many more pairs, for its screen or its confirmation."""

    cell_id: str
    stage: str
    pairs: int


def needed(
    metrics: Sequence[PairedMetric], margins: Margins, tried: Container[str] = frozenset()
) -> list[Need]:
    """What to measure next, the most urgent first; empty when nothing more would help.

    All cells are screened, candidates confirmed, undecided candidates given more pairs, and last
    undecided others, each up to its next look. Of one cell's metrics the hungriest decides: a block
    measures all of them. An accuracy that is not decided wants a pair of each further seed, which
    are cells of their own, beside the candidates. A cell that no metric is of yet is not known
    here; it wants its first pair.
    """
    paired = [metric for metric in metrics if _wants_pairs(metric, margins)]
    rejected = rejections(paired, margins)
    wants: dict[tuple[int, str, str], int] = {}
    for metric in paired:
        rank, stage, pairs = _want(metric, margins, rejected)
        if pairs:
            key = (rank, metric.cell_id, stage)
            wants[key] = max(wants.get(key, 0), pairs)
    for metric in _accuracies(metrics):
        for cell_id in more_seeds(metric, policy_of(metric, margins), tried):
            wants[1, cell_id, "confirm"] = 1
    first = sorted(wants, key=lambda key: key[0])
    return [Need(cell_id, stage, wants[rank, cell_id, stage]) for rank, cell_id, stage in first]


def with_progress(
    found: Sequence[Comparison],
    metrics: Sequence[PairedMetric],
    margins: Margins,
    tried: Container[str] = frozenset(),
) -> list[Comparison]:
    """The verdicts on these metrics, each with what it still wants where it is not decided. An
    accuracy that ten seeds leave open and show lower by more than its margin stays suspected.
    """
    paired = [metric for metric in metrics if _wants_pairs(metric, margins)]
    rejected = rejections(paired, margins)
    left: dict[tuple[str, str], tuple[tuple[int, int], str]] = {}
    for metric in paired:
        rank, stage, pairs = _want(metric, margins, rejected)
        if pairs:
            have = len(metric.confirm if stage == "confirm" else metric.screen)
            suspected = stage == "confirm" and suspicion(metric, margins) > 0
            why = "suspected" if suspected else "screen" if rank == 0 else ""
            left[metric.key] = (have, have + pairs), why
    for metric in _accuracies(metrics):
        if wanted := len(more_seeds(metric, policy_of(metric, margins), tried)):
            left[metric.key] = (MOST_SEEDS - wanted, MOST_SEEDS), "suspected"
        elif not metric.one_process:
            have = len(metric.screen) + len(metric.confirm)
            left[metric.key] = (have, max(have, MOST_SEEDS)), "last"
    return [_left_at(one, *left.get((one.cell_id, one.metric), (None, ""))) for one in found]


def _left_at(made: Comparison, progress: tuple[int, int] | None, why: str) -> Comparison:
    if progress is None or made.verdict not in UNDECIDED:
        return made
    if why == "last":
        lower = made.margin is not None and made.worse > made.margin
        return replace(made, progress=progress, open="suspected") if lower else made
    better = made.kind == "accuracy" and made.worse <= 0
    return replace(made, progress=progress, open="" if better else why)


def _accuracies(metrics: Sequence[PairedMetric]) -> list[PairedMetric]:
    return join_seeds([metric for metric in metrics if metric.kind == "accuracy"])


def _wants_pairs(metric: PairedMetric, margins: Margins) -> bool:
    return is_of_blocks(metric) and policy_of(metric, margins).gate != "off"


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
        if judge_candidate(metric, margins, rejected).verdict not in UNDECIDED:
            return 2, "confirm", 0
        looks = confirm_looks(len(rejected))
        wants = [lacking(metric, metric.confirm, at.count, looks[-1].count) for at in looks]
        place = next((place for place, pairs in enumerate(wants) if pairs), 0)
        return min(place, 1) + 1, "confirm", wants[place]
    if judge_one(metric, margins).verdict not in UNDECIDED:
        return 3, "screen", 0
    return 3, "screen", lacking(metric, screened, SCREEN_LOOKS[-1].count, MOST_SCREEN_PAIRS)


def _is_too_noisy(metric: PairedMetric, margins: Margins) -> bool:
    return bool(too_noisy(metric, metric.screen, policy_of(metric, margins), margins))
