"""Verdicts by kind, on made-up values whose change is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from report.judge import judge_exact, judge_pairs, judge_rounds
from report.looks import Look
from report.margins import Margins, Noise, Policy
from report.seeds import judge_accuracy
from report.status import judge_status
from report.verdict import Comparison, Pair, PairedMetric

MIB = 2**20


def metric(*pairs: tuple[float | None, float | None], **changes: object) -> PairedMetric:
    standard = {
        "cell_id": "sasrec-train",
        "metric": "epoch_time",
        "unit": "s",
        "better": "lower",
        "kind": "time",
        "screen": tuple(Pair(base, head) for base, head in pairs),
    }
    return PairedMetric(**(standard | changes))  # type: ignore[arg-type]


def blocks(change: float, sd: float = 0.01, n: int = 10, base: float = 2.0) -> PairedMetric:
    rng = np.random.default_rng(7)
    pairs = [(base, base * math.exp(math.log1p(change) + sd * x)) for x in rng.normal(size=n)]
    return metric(*pairs)


def judged(
    found: PairedMetric,
    margins: Margins | None = None,
    alpha: float = 0.01,
    count: int | None = None,
) -> Comparison:
    margins = margins or Margins()
    policy = margins.policy(found.cell_id, found.metric, found.kind)
    look = Look(len(found.screen), alpha) if count is None else Look(count, alpha)
    return judge_pairs(found, policy, margins, "screen", look)


def one_process(base: list[float], head: list[float], **changes: object) -> PairedMetric:
    middle = (float(np.median(base)), float(np.median(head)))
    rounds = {"base_rounds": tuple(base), "head_rounds": tuple(head)}
    return metric(middle, one_process=True, **(rounds | changes))


def of_rounds(found: PairedMetric, margins: Margins | None = None) -> Comparison:
    margins = margins or Margins()
    policy = margins.policy(found.cell_id, found.metric, found.kind)
    return judge_rounds(found, policy, margins)


@pytest.mark.parametrize(
    ("base", "head", "better", "verdict"),
    [
        (100, 100, "lower", "UNCHANGED"),
        (100, 101, "lower", "REGRESSED"),
        (100, 99, "lower", "IMPROVED"),
        (100, 101, "higher", "IMPROVED"),
        (100, 99, "higher", "REGRESSED"),
        (7, 8, "none", "NOT_COMPARABLE"),
        (0, 5, "lower", "REGRESSED"),
        (0, 0, "lower", "UNCHANGED"),
    ],
)
def test_counted_metrics_are_compared_exactly(
    base: float, head: float, better: str, verdict: str
) -> None:
    found = metric((base, head), better=better, kind="deterministic")
    assert judge_exact(found, Policy(0.0, 0.0, "hard")).verdict == verdict


def test_an_allocator_peak_may_have_a_margin_and_a_varying_count_is_not_a_constant() -> None:
    found = metric((1000, 1008), kind="deterministic")
    assert judge_exact(found, Policy(0.01, 0.0, "hard")).verdict == "UNCHANGED"
    assert judge_exact(found, Policy(0.001, 0.0, "hard")).verdict == "REGRESSED"
    found = metric((1, 2), (2, 3), kind="deterministic")
    assert judge_exact(found, Policy(0.0, 0.0, "hard")).verdict == "INCONCLUSIVE"


def test_counts_that_vary_are_red_where_their_ranges_lie_apart() -> None:
    def found(*pairs: tuple[float | None, float | None], better: str = "lower") -> Comparison:
        made = metric(*pairs, kind="deterministic", better=better)
        return judge_exact(made, Policy(0.01, 0.0, "hard"))

    red = found((100, 200), (101, 201))
    assert red.verdict == "REGRESSED"
    assert red.change == pytest.approx(200.5 / 100.5 - 1)
    assert "ranges lie apart" in red.reason
    assert found((200, 100), (201, 101)).verdict == "IMPROVED"
    assert found((200, 100), (201, 101), better="higher").verdict == "REGRESSED"
    # 101 and 101.5 are within the margin of each other.
    assert found((100, 101.5), (101, 103)).verdict == "INCONCLUSIVE"
    absent = found((100, None), (100, None))
    assert (absent.verdict, absent.reason) == ("NOT_COMPARABLE", "not measured: head")


@pytest.mark.parametrize(
    ("change", "sd", "verdict"),
    [
        (0.0, 0.01, "UNCHANGED"),
        (0.10, 0.01, "REGRESSED"),
        (-0.10, 0.01, "IMPROVED"),
        (0.05, 0.01, "INCONCLUSIVE"),
        (0.0, 0.10, "INCONCLUSIVE"),
    ],
)
def test_pairs_are_judged_by_their_bounds(change: float, sd: float, verdict: str) -> None:
    found = judged(blocks(change, sd))
    assert found.verdict == verdict
    assert found.low is not None
    assert found.high is not None
    assert found.change is not None
    assert found.low < found.change < found.high


def test_a_rate_that_falls_is_worse() -> None:
    slower = blocks(-0.10)
    found = judged(replace(slower, better="higher", unit="1/s"))
    assert found.verdict == "REGRESSED"
    assert found.change == pytest.approx(-0.10, abs=0.01)
    assert found.worse > 0


def test_a_tiny_time_must_change_by_more_than_the_floor() -> None:
    assert judged(blocks(0.10, base=100e-6)).verdict == "UNCHANGED"
    assert judged(blocks(0.30, base=100e-6)).verdict == "REGRESSED"


def test_noise_widens_the_margin_and_at_last_forbids_a_verdict() -> None:
    slow = blocks(0.10)
    quiet = Margins(noise=(Noise("*", "epoch_time", 0.02, 9.0, by_turns=False),))
    noisy = Margins(noise=(Noise("*", "epoch_time", 0.045, 0.0, by_turns=False),))
    wild = Margins(noise=(Noise("*", "epoch_time", 0.06, 0.0, by_turns=False),))
    assert judged(slow, quiet).verdict == "REGRESSED"
    assert judged(slow, noisy).verdict == "INCONCLUSIVE"
    assert judged(slow, noisy).margin == pytest.approx(math.expm1(0.09))
    assert judged(slow, wild).verdict == "NOT_MEASURABLE"


def test_contended_pairs_forbid_a_verdict_on_time_only() -> None:
    slow = blocks(0.30)
    some = tuple(replace(p, flags=("contended",)) for p in slow.screen[:3]) + slow.screen[3:]
    found = judged(replace(slow, screen=some))
    assert found.verdict == "NOT_MEASURABLE"
    assert "3 of 10" in found.reason
    without = judged(replace(slow, screen=some), count=7)
    assert (without.verdict, without.pairs) == ("REGRESSED", slow.screen[3:])
    assert "3 contended or throttled pairs left out" in without.reason
    more = replace(slow, screen=some[:9])
    assert judged(more, count=10).verdict == "INCONCLUSIVE"
    assert "9 of 10 pairs so far" in judged(more, count=10).reason
    few = tuple(replace(p, flags=("throttled",)) for p in slow.screen[:2]) + slow.screen[2:]
    assert judged(replace(slow, screen=few)).verdict == "REGRESSED"
    memory = replace(slow, screen=some, kind="memory_physical", unit="B")
    assert judged(memory).verdict != "NOT_MEASURABLE"


def test_too_few_pairs_never_decide_and_absent_ones_say_so() -> None:
    assert judged(blocks(1.0, n=6)).verdict == "INCONCLUSIVE"
    assert judged(blocks(1.0, n=7)).verdict == "REGRESSED"
    assert judged(metric((1.0, None), (1.0, None))).verdict == "NOT_COMPARABLE"
    assert judged(metric()).verdict == "NOT_COMPARABLE"


def test_memory_needs_eight_mebibytes_and_may_be_zero() -> None:
    def memory(base: float, head: float) -> str:
        pairs = [(base * MIB, (head + 0.1 * n) * MIB) for n in range(10)]
        return judged(metric(*pairs, kind="memory_physical", unit="B")).verdict

    assert memory(20, 25) == "UNCHANGED"
    assert memory(20, 40) == "REGRESSED"
    assert memory(0, 1) == "UNCHANGED"
    assert memory(0, 100) == "REGRESSED"


def test_accuracy_is_paired_by_seed() -> None:
    def accuracy(*pairs: tuple[float, float], **changes: object) -> Comparison:
        found = metric(*pairs, metric="ndcg@10", better="higher", kind="accuracy", **changes)
        return judge_accuracy(found, Margins().policy("c", "ndcg@10", "accuracy"))

    seeds = (0.060, 0.062, 0.061)
    assert accuracy(*[(x, x) for x in seeds]).verdict == "UNCHANGED"
    assert accuracy(*[(x, x - 0.0002 * n) for n, x in enumerate(seeds)]).verdict == "UNCHANGED"
    assert (
        accuracy(*[(x, x - 0.04 - 0.001 * n) for n, x in enumerate(seeds)]).verdict == "REGRESSED"
    )
    assert accuracy(*[(x, x + 0.04 + 0.001 * n) for n, x in enumerate(seeds)]).verdict == "IMPROVED"
    assert accuracy(*[(x, x - 0.006 * n) for n, x in enumerate(seeds)]).verdict == "INCONCLUSIVE"
    loud = accuracy((0.05, 0.05), (0.06, 0.061), (0.07, 0.07))
    assert loud.margin == pytest.approx(0.02)
    users = {"base_users": 943, "head_users": 943}
    assert accuracy((0.0655, 0.001), **users).verdict == "REGRESSED"
    assert accuracy((0.0655, 0.060), **users).verdict == "INCONCLUSIVE"
    assert accuracy((0.0655, 0.001)).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("rounds", [3, 5, 10, 2000])
@pytest.mark.parametrize(
    ("change", "verdict"),
    [(0.30, "REGRESSED"), (-0.30, "IMPROVED"), (0.08, "INCONCLUSIVE"), (0.0, "UNCHANGED")],
)
def test_one_process_a_side(rounds: int, change: float, verdict: str) -> None:
    rng = np.random.default_rng(rounds)
    base = 1 + 0.005 * rng.normal(size=rounds)
    head = (1 + change) * (1 + 0.005 * rng.normal(size=rounds))
    found = of_rounds(one_process(base.tolist(), head.tolist()))
    assert found.stage == "one process a side"
    assert found.margin == pytest.approx(0.10)
    assert found.verdict == verdict


def test_the_noise_floor_is_the_margin_of_one_process() -> None:
    fast, slow = [1.0 + 0.001 * n for n in range(10)], [1.3 + 0.001 * n for n in range(10)]
    loud = Margins(noise=(Noise("*", "*", 0.0, 0.2),))
    assert of_rounds(one_process(fast, slow), loud).verdict == "INCONCLUSIVE"
    quiet = Margins(noise=(Noise("*", "*", 9.0, 0.01),))
    assert of_rounds(one_process(fast, slow), quiet).margin == pytest.approx(0.05)


def test_one_process_that_was_disturbed_decides_nothing() -> None:
    found = one_process([1.0] * 9, [1.3] * 9, screen=(Pair(1.0, 1.3, ("contended",)),))
    assert of_rounds(found).verdict == "NOT_MEASURABLE"


def test_one_number_a_side() -> None:
    def memory(base: float, head: float) -> str:
        pair = (base * MIB, head * MIB)
        return of_rounds(metric(pair, one_process=True, kind="memory_physical", unit="B")).verdict

    assert of_rounds(metric((1.0, 3.0), one_process=True)).verdict == "INCONCLUSIVE"
    assert memory(100, 104) == "UNCHANGED"
    assert memory(100, 112) == "INCONCLUSIVE"
    assert memory(100, 200) == "REGRESSED"
    bounds = (0.9, 1.1, 1.7, 1.9)
    tail = metric((1.0, 1.8), one_process=True, kind="tail", bounds=bounds)
    assert of_rounds(tail).verdict == "REGRESSED"
    assert of_rounds(replace(tail, bounds=(0.9, 1.6, 1.7, 1.9))).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ("ok", "oom", "OOM_NEW"),
        ("ok", "pruned_oom", "OOM_NEW"),
        ("oom", "ok", "OOM_FIXED"),
        ("oom", "pruned_oom", "UNCHANGED"),
        ("ok", "unsupported", "FAILED"),
        ("ok", "incorrect", "FAILED"),
        ("ok", "timeout", "FAILED"),
        ("oom", "error", "FAILED"),
        ("unsupported", "unsupported", "UNCHANGED"),
        ("error", "error", "NOT_MEASURABLE"),
        ("timeout", "error", "NOT_MEASURABLE"),
        ("error", "ok", "NOT_MEASURABLE"),
        ("timeout", "ok", "NOT_MEASURABLE"),
        ("error", "oom", "NOT_MEASURABLE"),
        ("error", "incorrect", "FAILED"),
        ("unsupported", "incorrect", "FAILED"),
        ("unsupported", "error", "FAILED"),
        ("incorrect", "incorrect", "NOT_MEASURABLE"),
        ("incorrect", "timeout", "NOT_MEASURABLE"),
        ("incorrect", "unsupported", "NOT_COMPARABLE"),
        ("incorrect", "ok", "IMPROVED"),
        ("unsupported", "ok", "NEW"),
    ],
)
def test_a_status_is_a_verdict(base: str, head: str, verdict: str) -> None:
    found = judge_status("c", (base, "why"), (head, "because"))
    assert found is not None
    assert (found.verdict, found.gate) == (verdict, "hard")
    assert "because" in found.reason
    assert judge_status("c", ("ok", None), ("ok", None)) is None
