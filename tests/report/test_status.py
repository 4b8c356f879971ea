"""A number that the head no longer has: lost, or none by chance."""

from __future__ import annotations

import pytest

from measure.quantile import percentile_metrics
from report.margins import KINDS, load_margins
from report.status import NOT_THERE, lost
from report.verdict import Comparison, Pair, PairedMetric

QUEUE = percentile_metrics([0.001] * 400, independent=lambda _: 3.0)["latency_p50"].reason or ""
HARD = load_margins().policy("c", "throughput_at_p99", "tail")


def pair(head: float | None, *flags: str) -> Pair:
    return Pair(1.0, head, flags)


def judged(*pairs: Pair, why: str = "", kind: str = "time") -> Comparison | None:
    metric = PairedMetric("c", "m", "s", "lower", kind, screen=pairs, one_process=True, lost=why)
    return lost(metric, KINDS[kind])


def verdict(*pairs: Pair, why: str = "", kind: str = "time") -> str | None:
    made = judged(*pairs, why=why, kind=kind)
    return None if made is None else made.verdict


def test_a_queue_worth_too_few_requests_is_chance() -> None:
    made = judged(pair(None), why=QUEUE)
    assert made is not None
    assert made.verdict == "INCONCLUSIVE"
    assert made.reason.startswith("the head has no number: p50 needs at least 5 independent")
    assert verdict(*[pair(None)] * 5, why=QUEUE) == "INCONCLUSIVE"
    # What is left is judged.
    assert verdict(pair(None), pair(None), pair(1.0), why=QUEUE) is None


def test_a_queue_that_never_empties_is_overload_and_no_chance() -> None:
    metrics = percentile_metrics([0.001] * 400, independent=lambda _: 0.0)
    assert verdict(pair(None), why=metrics["latency_p50"].reason or "") == "FAILED"


def test_a_time_is_lost_unless_its_side_was_disturbed() -> None:
    assert verdict(pair(None), why="the clock broke") == "FAILED"
    made = judged(pair(None, "contended"), why="the clock broke")
    assert made is not None
    assert made.verdict == "INCONCLUSIVE"
    assert made.reason == "the head has no number, measured while contended: the clock broke"
    quiet, busy = pair(None), pair(None, "throttled")
    assert verdict(quiet, quiet, busy, why="the clock broke") == "FAILED"
    assert verdict(pair(1.0), quiet, busy, why="the clock broke") is None, "one is chance"


def test_all_gone_with_one_pair_to_blame_is_open_and_not_left_out() -> None:
    quiet, busy = pair(None), pair(None, "contended")
    assert verdict(*[busy] * 4, quiet, why="the clock broke") == "INCONCLUSIVE"
    assert verdict(*[busy] * 4, quiet, quiet, why="the clock broke") == "FAILED"


@pytest.mark.parametrize("kind", ["memory_physical", "deterministic", "accuracy"])
def test_no_disturbance_takes_what_is_counted(kind: str) -> None:
    assert verdict(pair(None, "contended"), why="the pass broke", kind=kind) == "FAILED"


@pytest.mark.parametrize("why", ["", NOT_THERE])
def test_a_number_that_was_removed_is_lost_on_any_machine(why: str) -> None:
    assert verdict(pair(None, "contended"), why=why) == "FAILED"


def test_a_server_that_keeps_its_target_at_no_rate_any_more_fails() -> None:
    why = "p99 was over 10 ms at 40 requests a second already"
    what = ("c", "throughput_at_p99", "1/s", "higher", "tail")
    made = lost(PairedMetric(*what, screen=(pair(None),), lost=why), HARD)
    assert made is not None
    assert (made.verdict, made.gate) == ("FAILED", "hard")
