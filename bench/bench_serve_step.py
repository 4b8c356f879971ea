"""Latency of a user's next event from kept state."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_serve_step(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
