"""A made-up machine is asked for what `needed` wants, until it wants no more."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from report.looks import CONFIRM_STEPS, confirm_looks, confirmations
from report.margins import Margins, Noise
from report.needs import Need, needed
from report.power import MARGIN, NOISES, with_more_pairs
from report.screening import is_candidate, judge
from report.seeds import join_seeds
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
    assert (confirmations(1), confirmations(4), confirmations(80)) == (10, 11, 16)
    slow = [
        replace(m, screen=(Pair(1, 1.5),) * 5, confirm=(Pair(1, 1.5),) * 10)
        for m in cells("a", "b", "c", "d")
    ]
    assert {c.verdict for c in judge(slow, Margins())} == {"INCONCLUSIVE"}
    assert {need.pairs for need in needed(slow, Margins())} == {1}
    assert judge(slow[:1], Margins())[0].verdict == "REGRESSED"


def test_an_undecided_candidate_gets_more_pairs_but_not_without_end() -> None:
    spread = tuple(Pair(1.0, x) for x in (1.0, 1.2, 1.02, 1.1, 1.15))
    odd = replace(cells("a")[0], screen=spread, confirm=spread * 2)
    assert needed([odd], Margins()) == [Need("a", "confirm", 5)]
    assert needed([replace(odd, confirm=spread * 16)], Margins()) == []


def test_between_two_looks_the_verdict_is_that_of_the_first_and_the_rest_is_asked_for() -> None:
    spread = tuple(Pair(1.0, x) for x in (1.0, 1.2, 1.02, 1.1, 1.15))
    odd = replace(cells("a")[0], screen=spread, confirm=spread * 2)
    first = judge([odd], Margins())[0]
    slow = (Pair(1.0, 1.5),)
    for more in range(1, 5):
        further = replace(odd, confirm=spread * 2 + slow * more)
        assert judge([further], Margins())[0] == first
        assert needed([further], Margins()) == [Need("a", "confirm", 5 - more)]
    early = replace(odd, confirm=slow * 9)
    assert judge([early], Margins())[0].verdict == "INCONCLUSIVE"
    assert needed([early], Margins()) == [Need("a", "confirm", 1)]
    assert [look.count for look in confirm_looks(1)] == [10, 15, 20, 30, 40, 60, 80]
    assert sum(alpha for _, alpha in CONFIRM_STEPS) <= 0.012


def test_what_was_decided_is_not_taken_back() -> None:
    same, slow = (Pair(1.0, 1.0),), (Pair(1.0, 1.3),)
    found = replace(cells("a")[0], screen=slow * 5, confirm=slow * 10)
    assert judge([found], Margins())[0].verdict == "REGRESSED"
    # Another metric of the cell wanted more pairs of both stages.
    longer = replace(found, screen=slow * 5 + same * 5, confirm=slow * 10 + same * 10)
    assert judge([longer], Margins())[0].verdict == "REGRESSED"
    # Nor does a cell that looks slower by its later pairs join the family.
    late = replace(cells("b")[0], screen=same * 5 + slow * 5)
    assert not is_candidate(late, Margins())
    assert [c.verdict for c in judge([longer, late], Margins())] == ["REGRESSED", "UNCHANGED"]


def test_a_screen_alone_is_never_red() -> None:
    wide = (1.0, 0.9, 1.02, 0.95, 1.01)
    screen = tuple(Pair(1.0, x) for x in (*wide, *[1.5] * 5))
    found = judge([replace(cells("a")[0], screen=screen)], Margins())[0]
    assert found.verdict == "INCONCLUSIVE"


def test_disturbed_pairs_are_asked_for_again_but_not_without_end() -> None:
    def pairs(count: int, *flags: str) -> tuple[Pair, ...]:
        return (Pair(1.0, 1.5, flags),) * count

    loud = replace(cells("a")[0], screen=pairs(5, "contended"))
    assert needed([loud], Margins()) == [Need("a", "screen", 5)]
    assert judge([loud], Margins())[0].verdict == "NOT_MEASURABLE"
    assert needed([replace(loud, screen=pairs(10, "contended"))], Margins()) == []
    calmer = replace(loud, screen=pairs(2, "contended") + pairs(5))
    assert needed([calmer], Margins()) == [Need("a", "confirm", 10)]
    three = replace(calmer, confirm=pairs(3, "throttled") + pairs(7))
    assert needed([three], Margins()) == [Need("a", "confirm", 3)]
    assert judge([three], Margins())[0].verdict == "NOT_MEASURABLE"
    quiet = replace(calmer, confirm=pairs(3, "throttled") + pairs(10))
    found = judge([quiet], Margins())[0]
    assert (found.verdict, len(found.pairs)) == ("REGRESSED", 10)
    assert "3 contended or throttled pairs left out" in found.reason
    most = confirm_looks(1)[-1].count
    assert needed([replace(calmer, confirm=pairs(most, "throttled"))], Margins()) == []


def test_a_machine_too_noisy_for_a_metric_wants_no_pairs() -> None:
    slow = replace(cells("a")[0], screen=(Pair(1.0, 1.5),) * 5)
    loud = Margins(noise=(Noise("*", "*", 0.2, 0.2, by_turns=False),))
    assert needed([slow], loud) == []
    assert judge([slow], loud)[0].verdict == "NOT_MEASURABLE"


def test_a_metric_without_a_number_on_either_side_is_not_judged() -> None:
    none = replace(cells("a")[0], kind="deterministic", screen=(Pair(None, None),) * 5)
    assert judge([none], Margins()) == []
    one = replace(none, screen=(Pair(None, 1.0),) * 5)
    assert judge([one], Margins())[0].verdict == "NOT_COMPARABLE"


def test_the_simulation_of_power_is_what_is_judged() -> None:
    most = confirm_looks(1)[-1].count
    r = math.log1p(0.07) + NOISES["t3, 3%"](np.random.default_rng(3), (30, most))
    assert Margins().policy("a", "epoch_time", "time").margin == pytest.approx(math.expm1(MARGIN))
    slow = replace(cells("a")[0], screen=(Pair(1.0, 1.5),) * 5)
    for row, red in zip(r, with_more_pairs(r), strict=True):
        metric = slow
        while wants := needed([metric], Margins()):
            done = len(metric.confirm) + wants[0].pairs
            metric = replace(metric, confirm=tuple(Pair(1.0, math.exp(x)) for x in row[:done]))
        assert (judge([metric], Margins())[0].verdict == "REGRESSED") == red


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
