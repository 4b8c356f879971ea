"""A cell whose rounds spread is measured again, up to a limit, and its record says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.findings import Findings
from bench.journal import Journal
from bench.runner import Runner
from bench.steadiness import asks_again, half_spread, spread, steadiest
from measure.record import Metric

CELL = Cell("sasrec", "train_epoch", "synthetic", "all", 8, 1)
STEADY, WIDE = [1.0, 1.01, 0.99], [1.0, 2.0, 3.0]


def found(seconds: list[float], name: str = "epoch_time") -> Findings:
    return Findings(samples={name: seconds})


def test_spread_is_deviation_over_mean_and_asks_for_enough_samples() -> None:
    assert spread(found(WIDE)) == pytest.approx(0.5)
    assert spread(found([1.0, 2.0])) is None
    few = found(WIDE, "latency_block_p50")
    few.raw["latency"] = [1.0] * 60
    assert spread(few) is None
    few.raw["latency"] = [1.0] * 300
    assert spread(few) == pytest.approx(0.5)
    assert spread(Findings(status="error", reason="x")) is None


def test_one_odd_round_is_no_reason_and_a_machine_that_changed_is() -> None:
    odd = found([1.0] * 9 + [1.25])
    changed = found([1.08] * 5 + [1.0] * 5)
    assert half_spread(odd) == 0
    assert not asks_again([odd])
    assert spread(changed) < 0.1
    assert half_spread(changed) == pytest.approx(0.08 / 1.04)
    assert asks_again([changed])
    assert half_spread(found([1.0, 2.0])) is None
    assert steadiest([changed]).flags == ["noisy"]
    assert steadiest([found([1.08] * 5 + [1.0] * 5), odd]) is odd, "though it spreads more in all"


def test_under_load_services_are_asked_and_not_the_queue() -> None:
    served = found(WIDE, "latency_block_p50")
    served.samples["service_block_p50"] = [1.0, 1.01, 0.99]
    assert spread(served) == pytest.approx(0.01, rel=0.01)


def test_the_steadiest_attempt_counts_and_all_spreads_are_kept() -> None:
    best = steadiest([found(WIDE), found(STEADY)])
    assert best.samples["epoch_time"] == STEADY
    assert best.samples["attempt_spread"] == pytest.approx([0.5, 0.01])
    assert best.flags == []
    assert steadiest([found(WIDE)]).flags == ["noisy"]
    assert steadiest([found(WIDE), Findings(status="timeout", reason="x")]).flags == [
        "repeat_timeout",
        "noisy",
    ]


def test_a_disturbed_attempt_is_measured_once_more_and_gives_way_to_an_undisturbed_one() -> None:
    disturbed, calm = found(STEADY), found([1.0, 1.05, 0.97])
    disturbed.flags.append("contended")
    assert asks_again([disturbed])
    assert not asks_again([disturbed, disturbed])
    assert not asks_again([calm])
    assert steadiest([disturbed, calm]) is calm
    assert calm.flags == []
    assert steadiest([disturbed]).flags == ["contended"]


def test_two_rounds_can_be_disturbed_and_a_fit_or_a_failure_is_never_repeated() -> None:
    few = found([1.0, 2.0])
    few.flags.append("throttled")
    assert asks_again([few])
    assert steadiest([few, found([1.0, 2.0])]).flags == []
    fit = found(WIDE)
    fit.metrics["fit_time"] = Metric(9.0, "s", "lower", "time", "clock")
    fit.flags.append("contended")
    assert not asks_again([fit])
    assert not asks_again([Findings(status="error", reason="x", flags=["contended"])])


@pytest.mark.parametrize(
    ("attempts", "limit", "repeats", "flags"),
    [
        ([STEADY], 2, 0, []),
        ([WIDE, STEADY], 2, 1, []),
        ([WIDE, WIDE, WIDE], 2, 2, ["noisy"]),
        ([WIDE], 0, 0, ["noisy"]),
    ],
)
def test_a_cell_is_measured_again_up_to_the_limit(
    journal_of: Callable[[Cell], Journal],
    monkeypatch: pytest.MonkeyPatch,
    attempts: list[list[float]],
    limit: int,
    repeats: int,
    flags: list[str],
) -> None:
    left = iter(attempts)

    class Played(contextlib.nullcontext[None]):
        """A worker whose rounds are known."""

        def __init__(self, _cell: Cell, measuring: str, **_: object) -> None:
            super().__init__()
            self.measuring = measuring

        def __enter__(self) -> Played:
            return self

        def load(self) -> None:
            pass

        def findings(self) -> Findings:
            findings = found(next(left)) if self.measuring == "time" else Findings()
            findings.phases = {"import_torch": 1.0, "measured": 2.0}
            return findings

    monkeypatch.setattr(Runner, "worker", staticmethod(Played))
    journal = journal_of(CELL)
    assert journal.manifest.order_seed == 3
    record = Runner(journal, None, None, 9.0, repeats=limit).measure(CELL)
    assert record.repeats == repeats
    assert record.flags == flags
    assert record.overhead.get("repeats", {}) == ({"repeats": 3.0 * repeats} if repeats else {})
    assert next(left, None) is None
    assert journal.read(CELL) == record
