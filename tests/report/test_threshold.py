"""The smallest change that matters: margins, floors, and the noise of pairs like these."""

from __future__ import annotations

import math

import pytest

from report.margins import KINDS, Margins, Noise
from report.screening import judge, judge_one
from report.threshold import smallest, too_noisy
from report.verdict import Pair, PairedMetric

US, MIB = 1e-6, 2**20


def latency(base: float, head: float, *, turns: bool, kind: str = "time") -> PairedMetric:
    def pairs(count: int) -> tuple[Pair, ...]:
        ratio = head / base if turns else None
        return tuple(
            Pair(base * (1 + n * 1e-3), head * (1 + n * 1e-3), by_turns=ratio) for n in range(count)
        )

    made = ("gru4rec-x-serve_step", "latency_p50", "s", "lower", kind)
    return PairedMetric(*made, screen=pairs(5), confirm=pairs(10))


def test_a_median_by_turns_has_a_floor_of_two_microseconds() -> None:
    (found,) = judge([latency(30 * US, 47 * US, turns=True)], Margins())
    assert (found.verdict, found.floor) == ("REGRESSED", 2 * US)
    assert found.margin == pytest.approx(2 / 30, rel=0.01)
    (found,) = judge([latency(30 * US, 31 * US, turns=True)], Margins())
    assert found.verdict == "UNCHANGED"
    (found,) = judge([latency(30 * US, 47 * US, turns=False)], Margins())
    assert (found.verdict, found.floor) == ("UNCHANGED", 20e-6)
    (found,) = judge([latency(30 * US, 47 * US, turns=False, kind="tail")], Margins())
    assert found.floor == 20e-6
    assert judge_one(latency(2.0, 2.0, turns=True), Margins()).floor is None


def test_a_rule_for_the_floor_holds_by_turns_too() -> None:
    margins = Margins(rules=({"metric": "latency_p50", "floor": 9 * US},))
    policy = margins.policy("c", "latency_p50", "time")
    assert policy.floor == policy.floor_by_turns == 9 * US
    assert KINDS["memory_physical"].floor_by_turns == 8 * MIB


def test_pairs_that_did_not_go_by_turns_have_the_noise_of_such_pairs() -> None:
    margins = Margins(noise=(Noise("*", "*", 0.01, 0.2),))
    for turns, known in ((True, math.log1p(0.05)), (False, 0.4)):
        metric = latency(1.0, 1.1, turns=turns)
        policy = margins.policy(*metric.key, metric.kind)
        assert smallest(metric, metric.screen, policy, margins) == pytest.approx(known)
        assert too_noisy(metric, metric.screen, policy, margins) == ""
    never = Margins(noise=(Noise("*", "*", 0.03, 0.2, by_turns=False),))
    metric = latency(1.0, 1.1, turns=False)
    assert smallest(metric, metric.screen, policy, never) == pytest.approx(0.06)
