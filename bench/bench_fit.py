"""Accuracy at early stopping: HR, NDCG and MRR at 10 by full ranking."""

from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.replay import CLOCK


@pytest.mark.benchmark(timer=CLOCK)
def test_fit(measured: Callable[[Cell], None], cell: Cell) -> None:
    measured(cell)
