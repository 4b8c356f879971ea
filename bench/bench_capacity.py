"""The longest history and the largest batch whose training step fits in memory."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_capacity(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
