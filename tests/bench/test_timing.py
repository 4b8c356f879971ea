"""How many rounds an epoch gets, and how many requests there are: as many as were asked for, more
where they are short.
"""

from __future__ import annotations

import dataclasses
import gc
import time
import weakref
from types import SimpleNamespace

import pytest

from bench import latency
from bench.cell import Cell
from bench.findings import Findings
from bench.latency import one_by_one, time_each
from bench.timing import _rounds, time_round

CELL = Cell("sasrec", "train_epoch", "ml_1m", "all", 50, 128, rounds=5, round_seconds=0.5)


@pytest.mark.parametrize(("took", "rounds"), [(2.0, 5), (0.5, 5), (0.28, 9), (0.01, 15)])
def test_short_epochs_fill_the_time_of_the_rounds_that_were_asked_for(
    took: float, rounds: int
) -> None:
    assert _rounds(CELL, took) == rounds


def test_whole_epochs_get_the_rounds_that_were_asked_for() -> None:
    assert _rounds(dataclasses.replace(CELL, round_seconds=None), 0.1) == 5


def test_a_round_begins_without_garbage_and_with_the_collector_on() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    class Played:
        setting = SimpleNamespace(device="cpu")
        left: bool | None = None

        def reset(self) -> None:
            self.left = ring() is not None

        def run(self, steps: int) -> None:
            assert gc.isenabled()
            time.sleep(0.001 * steps)

    ring, played = weakref.ref(Ring()), Played()
    assert time_round(played, 20) == pytest.approx(0.02, rel=0.5)  # type: ignore[arg-type]
    assert played.left is False


def test_short_requests_go_on_until_their_time_is_over() -> None:
    latencies = time_each(lambda _: time.sleep(0.001), 20, device="cpu", seconds=0.2)
    assert sum(latencies[:-1]) < 0.2
    assert 20 < len(latencies) < 200


def test_so_many_requests_as_were_asked_for_are_made_however_long_they_take() -> None:
    latencies = time_each(lambda _: time.sleep(0.01), 20, device="cpu", seconds=0.05)
    assert len(latencies) == len(time_each(lambda _: None, 20, device="cpu")) == 20


def test_requests_without_end_stop_at_some_number() -> None:
    assert len(time_each(lambda _: None, 20, device="cpu", seconds=20.0)) == 5_000


def test_requests_that_take_too_long_end_before_all_blocks_are_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latency, "LATENCY_SECONDS", 0.2)
    served = dataclasses.replace(CELL, workload="recommend", requests=40, round_seconds=None)
    assert len(one_by_one(served, lambda _: time.sleep(0.08), Findings())) == 3
    blocks = one_by_one(served, lambda _: None, Findings())
    assert [len(block) for block in blocks] == [4] * 10


def test_blocks_of_requests_are_of_requests_that_follow_each_other() -> None:
    served = dataclasses.replace(CELL, workload="recommend", requests=25, round_seconds=None)
    asked: list[int] = []
    one_by_one(served, asked.append, Findings())
    assert asked == list(range(25))
