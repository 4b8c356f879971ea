"""Rounds beside somebody on the same core are left out by the pace, not by their own time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from bench.cell import Cell
from bench.findings import Findings
from bench.rounds import Rounds
from measure.pace import pace

CELL = Cell("sasrec", "train_epoch", "ml_1m", "all", 50, 128, rounds=5, round_seconds=0.5)


def run(paces: Iterable[float], wanted: int, cell: Cell = CELL) -> tuple[list[int], int, Findings]:
    """Numbers of the rounds that are kept, how many were made, and the findings."""
    findings, made, read = Findings(), list[int](), iter(paces)
    rounds = Rounds(cell, findings, enough=lambda: len(made) >= wanted, read=lambda: next(read))
    for _ in rounds:
        made.append(len(made))
    return rounds.kept(made), len(made), findings


def test_all_rounds_are_kept_where_nobody_disturbs_them() -> None:
    kept, made, findings = run([1.0, 1.05, 1.02, 1.09], 3)
    assert (kept, made) == ([0, 1, 2], 3)
    assert findings.paces == [1.0, 1.05, 1.02, 1.09]
    assert "rounds_left_out" not in findings.resolved


def test_others_follow_for_rounds_beside_a_slow_reading() -> None:
    kept, made, findings = run([1.0, 1.0, 1.6, 1.0, 1.0, 1.0], 3)
    assert (kept, made) == ([0, 3, 4], 5)
    assert findings.resolved["rounds_left_out"] == 2


def test_there_are_twice_as_many_rounds_at_the_most() -> None:
    kept, made, _ = run([1.0, 1.0, 1.0, 1.0, *[1.6] * 7], 5)
    assert (kept, made) == ([0, 1, 2], 10)


def test_all_are_kept_where_fast_readings_are_the_odd_ones() -> None:
    kept, made, findings = run([1.0, 1.0, 1.0, *[1.6] * 8], 5)
    assert kept == list(range(10))
    assert made == 10
    assert "rounds_left_out" not in findings.resolved


@pytest.mark.parametrize(
    "changes", [{"device": "cuda"}, {"round_seconds": None}, {"round_seconds": 60.0}]
)
def test_elsewhere_the_pace_is_not_asked_for(changes: dict[str, object]) -> None:
    kept, made, findings = run([], 3, dataclasses.replace(CELL, **changes))  # type: ignore[arg-type]
    assert (kept, made, findings.paces) == ([0, 1, 2], 3, [])


def test_by_turns_both_sides_have_the_same_rounds() -> None:
    findings, made = Findings(), list[int]()
    findings._bell = 0
    rounds = Rounds(CELL, findings, enough=lambda: len(made) >= 3, read=lambda: 1 / 0)
    for _ in rounds:
        made.append(len(made))
    assert rounds.kept(made) == [0, 1, 2]


def test_the_pace_is_that_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    short = min(pace() for _ in range(50))
    monkeypatch.setattr("measure.pace._STEPS", 10_000)
    long = min(pace() for _ in range(50))
    assert 1e-6 < short < 5e-3
    assert 5 < long / short < 20
