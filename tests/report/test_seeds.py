"""Accuracy: more seeds decide what a few do not, in two looks that share alpha."""

from __future__ import annotations

import numpy as np
import pytest

from report.margins import Margins
from report.needs import needed, with_progress
from report.screening import judge
from report.seeds import MOST_SEEDS, judge_accuracy, more_seeds
from report.verdict import Comparison, Pair, PairedMetric

CELL = "mamba4rec-made_up-fit-all-L20-B32-cpu1-auto"
POLICY = Margins().policy(CELL, "ndcg@10", "accuracy")
# What a block without a gradient costs, as it was measured: 0.549 to 0.508.
BASES = np.random.default_rng(1).normal(0.549, 0.0097, 20)
HEADS = BASES - np.random.default_rng(2).normal(0.0435, 0.0156, 20)


def seed(number: int, *, more: bool = False, heads: np.ndarray | None = None) -> PairedMetric:
    head = (HEADS if heads is None else heads)[number]
    pair = (Pair(float(BASES[number]), float(head), seed=number),)
    kind = (f"{CELL}-s{number}", "ndcg@10", "1", "higher", "accuracy")
    return PairedMetric(*kind, **{"confirm" if more else "screen": pair})


def judged(count: int, heads: np.ndarray | None = None) -> Comparison:
    metrics = [seed(n, more=n > 2, heads=heads) for n in range(count)]
    (found,) = with_progress(judge(metrics, Margins()), metrics, Margins())
    return found


def test_three_seeds_do_not_decide_and_ten_do() -> None:
    few = judged(3)
    assert (few.verdict, few.progress, few.open) == ("INCONCLUSIVE", (3, 10), "suspected")
    some = judged(7)
    assert (some.verdict, some.progress, len(some.pairs)) == ("INCONCLUSIVE", (7, 10), 3)
    all_ = judged(10)
    assert (all_.verdict, all_.progress, len(all_.pairs)) == ("REGRESSED", None, 10)
    assert all_.cell_id == CELL


def test_the_seeds_that_are_wanted_are_cells_of_their_own() -> None:
    wanted = needed([seed(n) for n in range(3)], Margins())
    assert [(need.cell_id, need.stage, need.pairs) for need in wanted] == [
        (f"{CELL}-s{n}", "confirm", 1) for n in range(3, MOST_SEEDS)
    ]
    assert needed([seed(n, heads=BASES) for n in range(3)], Margins()) == []
    assert needed([seed(n, more=n > 2) for n in range(10)], Margins()) == []
    soft = Margins(rules=({"kind": "accuracy", "gate": "soft"},))
    assert needed([seed(n) for n in range(3)], soft) == []


def test_what_three_seeds_decided_more_do_not_take_back() -> None:
    lower = BASES - 0.2 - 0.01 * (np.arange(20) % 3)
    assert judged(3, lower).verdict == "REGRESSED"
    lower[3:] = BASES[3:]
    assert judged(10, lower).verdict == "REGRESSED"


def test_a_better_head_is_not_suspected() -> None:
    higher = 2 * BASES - HEADS
    assert (judged(3, higher).verdict, judged(3, higher).open) == ("INCONCLUSIVE", "")


def test_a_loss_that_ten_seeds_leave_open_stays_suspected() -> None:
    spread = np.random.default_rng(3).normal(0.0, 0.02, 20)
    lower, alike = BASES - 0.03 + spread, BASES + spread
    for heads, still in ((lower, "suspected"), (alike, "")):
        found = judged(10, heads)
        assert (found.verdict, found.open) == ("INCONCLUSIVE", still)
    assert judged(10, lower).progress == (10, 10)


def test_two_files_have_one_look_at_the_whole_of_alpha() -> None:
    pairs = tuple(Pair(float(b), float(h)) for b, h in zip(BASES, HEADS, strict=True))[:3]
    two = PairedMetric(CELL, "ndcg@10", "1", "higher", "accuracy", pairs, one_process=True)
    assert judge_accuracy(two, POLICY).alpha == pytest.approx(0.01)
    assert more_seeds(two, POLICY) == []
    assert judged(3).alpha == pytest.approx(0.005)


def test_false_alarms_at_the_margin_stay_below_one_percent() -> None:
    """A loss of just the margin, with the margin fixed by the spread of all seeds."""
    rng, red = np.random.default_rng(5), 0
    trials = 1500
    for _ in range(trials):
        bases = rng.normal(0.5, 0.002, 10)
        heads = bases - rng.normal(0.005, 0.004, 10)
        pairs = [
            Pair(float(b), float(h), seed=n)
            for n, (b, h) in enumerate(zip(bases, heads, strict=True))
        ]
        metric = PairedMetric(
            CELL, "ndcg@10", "1", "higher", "accuracy", tuple(pairs[:3]), tuple(pairs[3:])
        )
        red += judge_accuracy(metric, POLICY).verdict == "REGRESSED"
    assert red / trials < 0.017, "1% and what chance adds to 1,500 trials"
