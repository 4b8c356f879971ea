"""Full ranking of all test users."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_rank_all(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
