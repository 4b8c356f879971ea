"""From a file on disk to the first training batch."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_load(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
