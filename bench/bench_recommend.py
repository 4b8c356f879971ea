"""Latency of a recommendation from a whole history, top 10 included."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_recommend(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
