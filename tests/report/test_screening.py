"""A made-up machine is asked for what `needed` wants, until it wants no more."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from report.margins import Margins, Noise
from report.screening import Need, confirmations, is_candidate, join_seeds, judge, needed
from report.verdict import Pair, PairedMetric


def cells(*names: str) -> list[PairedMetric]:
    return [PairedMetric(name, "epoch_time", "s", "lower", "time") for name in names]


def block(rng: np.random.Generator, change: float, sd: float) -> Pair:
    return Pair(2.0, 2.0 * math.exp(math.log1p(change) + sd * rng.standard_t(3) / math.sqrt(3)))


def driven(
    changes: dict[str, float], sd: float = 0.02, most: int = 1000, seed: int = 1
) -> tuple[list[PairedMetric], Counter[str]]:
    """Metrics after all that was needed was measured, and the pairs that each cell took."""
    rng, metrics, taken = np.random.default_rng(seed), cells(*changes), Counter[str]()
    while wants := needed(metrics, Margins()):
        want = wants[0]
        for _ in range(want.pairs):
            if sum(taken.values()) >= most:
                return metrics, taken
            taken[want.cell_id] += 1
            metrics = [
                replace(
                    m, **{want.stage: (*getattr(m, want.stage), block(rng, changes[m.cell_id], sd))}
                )
                if m.cell_id == want.cell_id
                else m
                for m in metrics
            ]
    return metrics, taken


def test_a_planted_change_is_found_and_no_other_cell_is_red() -> None:
    changes = {f"c{n}": 0.0 for n in range(12)} | {"slow": 0.15, "fast": -0.15}
    metrics, taken = driven(changes)
    verdicts = {c.cell_id: c.verdict for c in judge(metrics, Margins())}
    assert verdicts.pop("slow") == "REGRESSED"
    assert verdicts.pop("fast") == "IMPROVED"
    assert set(verdicts.values()) <= {"UNCHANGED", "INCONCLUSIVE"}
    assert list(verdicts.values()).count("UNCHANGED") >= 10
    assert min(taken.values()) == 5
    assert taken["slow"] >= 15


def test_first_everything_is_screened() -> None:
    assert needed(cells("a", "b"), Margins()) == [Need("a", "screen", 5), Need("b", "screen", 5)]


def test_a_candidate_is_confirmed_by_fresh_pairs_only() -> None:
    slow = replace(cells("a")[0], screen=(Pair(1.0, 1.5),) * 5)
    assert is_candidate(slow, Margins())
    assert needed([slow], Margins()) == [Need("a", "confirm", 10)]
    (waiting,) = judge([slow], Margins())
    assert waiting.verdict == "INCONCLUSIVE"
    assert "confirmed" in waiting.reason
    again = replace(slow, confirm=(Pair(1.0, 1.0),) * 10)
    assert judge([again], Margins())[0].verdict == "UNCHANGED"
    found = judge([replace(slow, confirm=(Pair(1.0, 1.2),) * 10)], Margins())[0]
    assert (found.verdict, found.stage) == ("REGRESSED", "confirm")
    assert len(found.pairs) == 10


def test_holm_wants_more_pairs_the_more_candidates_there_are() -> None:
    assert (confirmations(1), confirmations(10), confirmations(80)) == (10, 10, 13)
    slow = [
        replace(m, screen=(Pair(1, 1.5),) * 5, confirm=(Pair(1, 1.5),) * 7) for m in cells("a", "b")
    ]
    assert {c.verdict for c in judge(slow, Margins())} == {"INCONCLUSIVE"}
    assert judge(slow[:1], Margins())[0].verdict == "REGRESSED"


def test_an_undecided_candidate_gets_more_pairs_but_not_without_end() -> None:
    spread = tuple(Pair(1.0, x) for x in (1.0, 1.2, 1.02, 1.1, 1.15))
    odd = replace(cells("a")[0], screen=spread, confirm=spread * 2)
    assert needed([odd], Margins()) == [Need("a", "confirm", 5)]
    assert needed([replace(odd, confirm=spread * 4)], Margins()) == []


def test_an_unmeasurable_metric_wants_nothing() -> None:
    slow = replace(cells("a")[0], screen=(Pair(1.0, 1.5, ("contended",)),) * 5)
    assert needed([slow], Margins()) == []
    assert judge([slow], Margins())[0].verdict == "NOT_MEASURABLE"
    loud = Margins(noise=(Noise("*", "*", 0.2),))
    assert judge([replace(slow, screen=(Pair(1.0, 1.5),) * 5)], loud)[0].verdict == "NOT_MEASURABLE"


def test_a_stopped_run_says_what_it_knows() -> None:
    metrics, _ = driven({"a": 0.2, "b": 0.0}, most=12)
    assert {c.verdict for c in judge(metrics, Margins())} <= {"INCONCLUSIVE", "UNCHANGED"}


def test_seeds_are_joined_and_a_seed_counts_once() -> None:
    def seed(n: int) -> PairedMetric:
        pair = Pair(0.06 + 0.001 * n, 0.06, seed=n)
        return PairedMetric(
            f"m-fit-s{n}", "ndcg@10", "1", "higher", "accuracy", screen=(pair, pair)
        )

    (joined,) = join_seeds([seed(0), seed(1), seed(2)])
    assert (joined.cell_id, len(joined.screen)) == ("m-fit", 3)
    (alone,) = join_seeds([seed(0)])
    assert alone.cell_id == "m-fit-s0"
    time = [replace(seed(n), kind="time") for n in range(2)]
    assert join_seeds(time) == time


def test_false_alarms_are_rare_when_nothing_changed() -> None:
    red = 0
    for seed in range(20):
        metrics, _ = driven({f"c{n}": 0.0 for n in range(10)}, sd=0.04, seed=seed)
        red += sum(c.verdict in ("REGRESSED", "IMPROVED") for c in judge(metrics, Margins()))
    assert red <= 1
