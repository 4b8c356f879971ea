"""Seconds of a training epoch over history length; memory by phase beside it."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_train_epoch(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
