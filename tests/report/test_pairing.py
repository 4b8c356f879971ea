"""Pairs of records become what is judged: values in order, statuses, and one-sided metrics."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest

from measure.record import Metric
from report.in_turn import noise_floors
from report.judge import log_ratio
from report.margins import Margins
from report.pairing import measured_in_turn, needs, verdicts
from report.verdict import Verdict
from tests.report.blocks import CELL, P50, Pair, pairs, record

TAIL = Metric(2e-3, "s", "lower", "tail", "made up")


def test_values_keep_their_order_and_stage() -> None:
    found = measured_in_turn({CELL: pairs(3, 0.1)}, {CELL: pairs(2, 0.1)})
    latency = next(metric for metric in found if metric.metric == "latency_p50")
    assert (len(latency.screen), len(latency.confirm)) == (3, 2)
    assert latency.screen[0].head == pytest.approx(1e-3 * 0.996 * 1.1)


def in_turn(base: list[float], head: list[float], turns: int = 4) -> Pair:
    """A pair by turns, with a p50 of all requests beside those of each round."""
    made = Pair(record(1e-3), record(2e-3))
    for side, rounds in zip((made.base, made.head), (base, head), strict=True):
        side.samples["latency_block_p50"] = rounds
        side.resolved["turns"] = turns
    return made


def test_rounds_by_turns_are_compared_one_with_one() -> None:
    # The machine slows down for both: 2% between the rounds, whatever their medians are.
    made = in_turn([1.0, 2.0, 1.0, 1.0], [1.02, 2.04, 1.02, 1.9])
    (metric,) = [m for m in measured_in_turn({CELL: [made]}, {}) if m.metric == "latency_p50"]
    (pair,) = metric.screen
    assert (pair.base, pair.head) == (1e-3, 2e-3)
    assert pair.by_turns == pair.ratio == pytest.approx(1.02)
    assert log_ratio(metric, pair) == pytest.approx(math.log(1.02))


@pytest.mark.parametrize(
    "made",
    [
        in_turn([1.0] * 4, [1.0] * 4, turns=0),
        in_turn([1.0] * 2, [1.0] * 2, turns=2),
        in_turn([1.0] * 4, [1.0] * 3),
        in_turn([1.0] * 4, [1.0, 1.0, 0.0, 1.0]),
    ],
    ids=["not by turns", "too few", "not all", "zero"],
)
def test_rounds_that_were_not_by_turns_are_not_compared(made: Pair) -> None:
    (metric,) = [m for m in measured_in_turn({CELL: [made]}, {}) if m.metric == "latency_p50"]
    assert metric.screen[0].by_turns is None
    assert log_ratio(metric, metric.screen[0]) == pytest.approx(math.log(2))


def test_a_change_is_screened_then_confirmed_then_red() -> None:
    margins = Margins()
    screened = {CELL: pairs(5, 0.2)}
    wanted = needs(margins, screened, {})
    assert [(need.cell_id, need.stage, need.pairs) for need in wanted] == [(CELL, "confirm", 10)]
    unconfirmed = {c.metric: c.verdict for c in verdicts(margins, screened, {})}
    assert unconfirmed["latency_p50"] is Verdict.INCONCLUSIVE
    confirmed = {CELL: pairs(10, 0.2, start=5)}
    assert needs(margins, screened, confirmed) == []
    said = {c.metric: c.verdict for c in verdicts(margins, screened, confirmed)}
    assert said == {"latency_p50": Verdict.REGRESSED, "params": Verdict.UNCHANGED}


def test_a_bound_that_does_not_exist_is_none() -> None:
    (found, _) = verdicts(Margins(), {CELL: pairs(3, 0.2)}, {})
    assert (found.verdict, found.low, found.high) == (Verdict.INCONCLUSIVE, None, None)
    assert found.change == pytest.approx(0.2, abs=0.01)


def test_no_change_is_shown_to_be_none_without_confirmation() -> None:
    screened = {CELL: pairs(5, 0.0)}
    assert needs(Margins(), screened, {}) == []
    assert {c.verdict for c in verdicts(Margins(), screened, {})} == {Verdict.UNCHANGED}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("unsupported", Verdict.FAILED), ("incorrect", Verdict.FAILED), ("oom", Verdict.OOM_NEW)],
)
def test_a_cell_that_no_longer_runs_is_red(status: str, verdict: Verdict) -> None:
    gone = [Pair(record(1e-3), record(1e-3, status)) for _ in range(2)]
    assert needs(Margins(), {CELL: gone}, {}) == []
    (found,) = verdicts(Margins(), {CELL: gone}, {})
    assert (found.verdict, found.metric) == (verdict, "status")
    assert "as planned" in found.reason


def test_a_block_that_failed_once_is_not_a_verdict_and_asks_for_more() -> None:
    crash = Pair(record(1e-3), record(1e-3, "timeout"))
    screened = {CELL: [crash]}
    assert [(n.cell_id, n.stage) for n in needs(Margins(), screened, {})] == [(CELL, "screen")]
    (found,) = verdicts(Margins(), screened, {})
    assert (found.verdict, found.metric) == (Verdict.INCONCLUSIVE, "status")
    good = {CELL: [*pairs(5, 0.0), crash]}
    said = {c.metric: c.verdict for c in verdicts(Margins(), good, {})}
    assert said["status"] is Verdict.INCONCLUSIVE
    assert said["latency_p50"] is Verdict.UNCHANGED
    twice = {CELL: [*pairs(5, 0.0), crash, crash]}
    said = {c.metric: c.verdict for c in verdicts(Margins(), twice, {})}
    assert said["status"] is Verdict.FAILED


def test_a_crash_of_head_is_not_hidden_behind_one_of_base() -> None:
    base_fails = Pair(record(1e-3, "timeout"), record(1e-3))
    head_fails = Pair(record(1e-3), record(1e-3, "error"))
    said = verdicts(Margins(), {CELL: [base_fails, *pairs(3, 0.0), head_fails, head_fails]}, {})
    assert Verdict.FAILED in {c.verdict for c in said}


def test_a_memory_pass_that_died_counts_as_the_cell() -> None:
    reason = "memory pass: oom: killed for memory"
    gone = Metric(None, "B", "lower", "memory_physical", "none", reason=reason)
    there = Metric(1e6, "B", "lower", "memory_physical", "made up")
    died = [Pair(record(1e-3, memory_peak=there), record(1e-3, memory_peak=gone)) for _ in range(2)]
    (found,) = verdicts(Margins(), {CELL: died}, {})
    assert (found.verdict, found.reason.count("killed for memory")) == (Verdict.OOM_NEW, 1)


def test_sides_with_other_data_are_not_compared() -> None:
    base, head = record(1e-3), record(2e-3)
    other = dataclasses.replace(head, data={"sequence_hash": "b"})
    same = dataclasses.replace(base, data={"sequence_hash": "a"})
    (found,) = verdicts(Margins(), {CELL: [Pair(same, other)] * 5}, {})
    assert (found.verdict, found.metric) == (Verdict.NOT_COMPARABLE, "data")


def test_a_metric_of_one_side_is_new_or_removed() -> None:
    extra = Metric(1.0, "s", "lower", "time", "made up")
    fact = dataclasses.replace(extra, better="none", kind="deterministic")
    sides = record(1e-3, old=extra, p99=TAIL, fact=fact), record(1e-3, fresh=extra)
    said = {c.metric: c.verdict for c in verdicts(Margins(), {CELL: [Pair(*sides)] * 5}, {})}
    assert (said["old"], said["fresh"]) == (Verdict.FAILED, Verdict.NEW)
    assert (said["p99"], said["fact"]) == (Verdict.REMOVED, Verdict.REMOVED)


def test_a_head_that_loses_its_numbers_fails() -> None:
    lost = dataclasses.replace(P50, value=None, reason="the clock broke")
    head = record(1e-3)
    head.metrics["latency_p50"] = lost
    found = verdicts(Margins(), {CELL: [Pair(record(1e-3), head)] * 5}, {})
    (made,) = [c for c in found if c.metric == "latency_p50"]
    assert made.verdict is Verdict.FAILED
    assert made.reason == "the head no longer has it in 5 of 5 pairs: the clock broke"
    once = [*pairs(5, 0.0), Pair(record(1e-3), head)]
    said = {c.metric: c.verdict for c in verdicts(Margins(), {CELL: once}, {})}
    assert said["latency_p50"] is Verdict.UNCHANGED, "once is chance"


def test_failures_are_counted_side_by_side_whatever_their_order() -> None:
    good = Pair(record(1e-3), record(1e-3))
    base = Pair(record(1e-3, "error"), record(1e-3))
    head = Pair(record(1e-3), record(1e-3, "error"))
    for mixed, verdict in (
        ([good, head, base], Verdict.INCONCLUSIVE),
        ([good, head, base, head], Verdict.FAILED),
        ([good, head, base, base], Verdict.NOT_MEASURABLE),
    ):
        for order in itertools.permutations(mixed):
            found = verdicts(Margins(), {CELL: list(order)}, {})
            assert [c.verdict for c in found if c.metric == "status"] == [verdict]


def test_a_loss_is_not_hidden_by_a_block_that_failed_by_chance() -> None:
    extra = {"extra": P50}
    lost = [Pair(record(1e-3, **extra), record(1e-3)) for _ in range(6)]
    chance = Pair(record(1e-3, "timeout", **extra), record(1e-3))
    said = {c.metric: c.verdict for c in verdicts(Margins(), {CELL: [*lost, chance]}, {})}
    assert (said["extra"], said["status"]) == (Verdict.FAILED, Verdict.INCONCLUSIVE)


def test_what_is_known_not_to_run_is_measured_no_more() -> None:
    late = [Pair(record(1e-3), record(1e-3, "timeout")) for _ in range(2)]
    assert needs(Margins(), {CELL: pairs(1, 0.0)}, {}) != []
    assert needs(Margins(), {CELL: [*pairs(1, 0.0), *late]}, {}) == []


def test_two_blocks_of_many_fail_by_chance() -> None:
    late = Pair(record(1e-3), record(1e-3, "timeout"))
    for good, verdict in ((18, Verdict.FAILED), (38, Verdict.INCONCLUSIVE)):
        found = verdicts(Margins(), {CELL: [*pairs(good, 0.0), late, late]}, {})
        assert [c.verdict for c in found if c.metric == "status"] == [verdict]


def test_seeds_are_the_pairs_of_an_accuracy() -> None:
    screened = {}
    for seed, (base, head) in enumerate([(0.50, 0.30), (0.52, 0.31), (0.51, 0.33)]):
        cell = f"gru4rec-made_up-fit-all-L20-B32-cpu1-auto-s{seed}"
        scores = [Metric(v, "1", "higher", "accuracy", "full", n=500) for v in (base, head)]
        sides = [record(1.0, cell=cell, **{"ndcg@10": score}) for score in scores]
        screened[cell] = [Pair(*sides)]
    found = [c for c in verdicts(Margins(), screened, {}) if c.metric == "ndcg@10"]
    assert [(c.verdict, len(c.pairs)) for c in found] == [(Verdict.REGRESSED, 3)]


def test_the_noise_of_a_machine_is_what_its_pairs_lie_apart() -> None:
    (floor,) = noise_floors({CELL: pairs(10, 0.0)}, {})
    assert (floor.cells, floor.metric) == (CELL, "latency_p50")
    assert 0 < floor.half_width < 0.005
    assert 0 < floor.between_files < 0.005


def test_two_files_lie_as_far_apart_as_processes_that_were_not_measured_by_turns() -> None:
    """A host that is half as fast for every other pair: by turns nobody sees it."""
    alike = [in_turn([speed] * 4, [speed * 1.001] * 4) for speed in (1e-3, 2e-3) * 5]
    for pair, speed in zip(alike, (1e-3, 2e-3) * 5, strict=True):
        pair.base.metrics["latency_p50"] = dataclasses.replace(P50, value=speed)
        pair.head.metrics["latency_p50"] = dataclasses.replace(P50, value=speed * 1.001)
    (floor,) = noise_floors({CELL: alike}, {})
    assert floor.half_width == pytest.approx(0.001, abs=1e-4)
    assert floor.between_files == pytest.approx(math.log(2), abs=0.01)


def test_a_new_model_is_new_and_a_broken_one_is_red() -> None:
    absent = record(1e-3, "unsupported")
    runs, late = Pair(absent, record(1e-3)), Pair(absent, record(1e-3, "timeout"))
    wrong = Pair(absent, record(1e-3, "incorrect"))
    for blocks, verdict, more in (
        ([runs], Verdict.NEW, 0),
        ([wrong], Verdict.FAILED, 0),
        ([late], Verdict.INCONCLUSIVE, 1),
        ([late, late], Verdict.FAILED, 0),
    ):
        assert len(needs(Margins(), {CELL: blocks}, {})) == more
        screened = {CELL: blocks, "sasrec-x": pairs(5, 0.0)}
        (found,) = [c for c in verdicts(Margins(), screened, {}) if c.cell_id == CELL]
        assert found.verdict is verdict
        assert more == 0 or "1 of 2 blocks did not run" in found.reason


def test_a_crash_that_the_head_repairs_is_an_improvement() -> None:
    repaired = Pair(record(1e-3, "error"), record(1e-3))
    (found,) = verdicts(Margins(), {CELL: [repaired, repaired]}, {})
    assert (found.verdict, found.metric) == (Verdict.IMPROVED, "status")
    (found,) = verdicts(Margins(), {CELL: [repaired, repaired]}, {}, own_harness=False)
    assert found.verdict is Verdict.NOT_MEASURABLE, "the head's harness may have broken it"
    often = {CELL: [repaired, repaired, *pairs(2, 0.0)]}
    said = {c.metric: c.verdict for c in verdicts(Margins(), often, {})}
    assert said["status"] is Verdict.NOT_MEASURABLE, "the base runs at times"


def test_a_further_seed_that_fails_gives_its_place_to_another() -> None:
    def fit(seed: int, head: float, status: str = "ok") -> dict[str, list[Pair]]:
        cell = f"gru4rec-made_up-fit-all-L20-B32-cpu1-auto-s{seed}"
        scores = [Metric(v, "1", "higher", "accuracy", "full", n=500) for v in (0.5, head)]
        base, new = (record(1.0, cell=cell, **{"ndcg@10": score}) for score in scores)
        return {cell: [Pair(base, dataclasses.replace(new, status=status, reason="late"))]}

    screened = fit(0, 0.45) | fit(1, 0.52) | fit(2, 0.43)

    def asked(confirmed: dict[str, list[Pair]]) -> set[str]:
        wants = needs(Margins(), screened, confirmed)
        return {need.cell_id[-2:] for need in wants if need.stage == "confirm"}

    wanted = asked({})
    assert wanted == {"s3", "s4", "s5", "s6", "s7", "s8", "s9"}
    said = verdicts(Margins(), screened, fit(3, 0.45))
    assert not [c for c in said if c.cell_id.endswith("s3")], "one metric, told with the others"
    confirmed = fit(3, 0.45, "timeout")
    assert asked(confirmed) == wanted - {"s3"} | {"10"}
    found = verdicts(Margins(), screened, confirmed)
    assert Verdict.INCONCLUSIVE in {c.verdict for c in found if c.cell_id.endswith("s3")}
