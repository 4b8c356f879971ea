"""How many rounds an epoch gets: as many as were asked for, more where it is short."""

from __future__ import annotations

import dataclasses

import pytest

from bench.cell import Cell
from bench.timing import _rounds

CELL = Cell("sasrec", "train_epoch", "ml_1m", "all", 50, 128, rounds=5, round_seconds=0.5)


@pytest.mark.parametrize(("took", "rounds"), [(2.0, 5), (0.5, 5), (0.28, 9), (0.01, 15)])
def test_short_epochs_fill_the_time_of_the_rounds_that_were_asked_for(
    took: float, rounds: int
) -> None:
    assert _rounds(CELL, took) == rounds


def test_whole_epochs_get_the_rounds_that_were_asked_for() -> None:
    assert _rounds(dataclasses.replace(CELL, round_seconds=None), 0.1) == 5
